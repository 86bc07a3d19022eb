/** AWS signature version 4 from the server's side: whether a request was signed with a secret. */
import { createHash, createHmac } from "node:crypto";

const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

interface Claim {
  /** `KEY/DATE/REGION/s3/aws4_request`. */
  credential: string;
  signedHeaders: string;
  signature: string;
  time: string;
  payload: string;
  query: string;
}

function claimOf(url: URL, headers: Headers): Claim | undefined {
  const pairs = url.search
    .slice(1)
    .split("&")
    .filter((pair) => pair !== "");
  const query = pairs
    .filter((pair) => !pair.startsWith("X-Amz-Signature="))
    .sort()
    .join("&");
  const of = (name: string) => url.searchParams.get(`X-Amz-${name}`) ?? "";
  if (url.searchParams.has("X-Amz-Signature")) {
    const [credential, signedHeaders] = [of("Credential"), of("SignedHeaders")];
    return {
      credential,
      signedHeaders,
      signature: of("Signature"),
      time: of("Date"),
      payload: "UNSIGNED-PAYLOAD",
      query,
    };
  }
  const match = /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/.exec(
    headers.get("authorization") ?? "",
  );
  if (match === null) return undefined;
  const [, credential, signedHeaders, signature] = match as unknown as [string, string, string, string];
  const [time, payload] = [headers.get("x-amz-date") ?? "", headers.get("x-amz-content-sha256") ?? ""];
  return { credential, signedHeaders, signature, time, payload, query };
}

/** Undefined when the request is signed with the secret of this key; else the code that S3 answers. */
export function refusalOf(
  request: Request,
  { accessKeyId, secretAccessKey }: { accessKeyId: string; secretAccessKey: string },
): "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | undefined {
  const url = new URL(request.url);
  const claim = claimOf(url, request.headers);
  if (claim === undefined) return "AccessDenied";
  const [id = "", date = "", region = "", service = "", end = ""] = claim.credential.split("/");
  if (id !== accessKeyId) return "InvalidAccessKeyId";
  const names = claim.signedHeaders.split(";");
  const canonical = [
    ...[request.method, url.pathname, claim.query],
    ...names.map((name) => `${name}:${(request.headers.get(name) ?? "").trim()}`),
    ...["", claim.signedHeaders, claim.payload],
  ].join("\n");
  const text = [
    "AWS4-HMAC-SHA256",
    claim.time,
    `${date}/${region}/${service}/${end}`,
    sha256(canonical),
  ].join("\n");
  const key = [date, region, service, end].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  return hmac(key, text).toString("hex") === claim.signature ? undefined : "SignatureDoesNotMatch";
}

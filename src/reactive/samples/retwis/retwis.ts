/**
 * A small Retwis: people post, follow each other, and like posts.
 *
 * Invariant: a post is in its author's list and in the timeline of everyone who followed the author at that moment, or nowhere;
 * the count of likes is the number of people who like. Posts and likes are appends, inserts and increments, so any number of
 * people can do them at once without running anything again.
 */
import { type Client, counter, document, list, object, type Reader, set } from "../../client.ts";

export interface Post {
  id: string;
  author: string;
  text: string;
  likes: number;
  isLiked: boolean;
}

interface StoredPost {
  author: string;
  text: string;
}

const TEXT_MAX = 280;
const SHOWN_MAX = 30;

const storedPost = {
  parse(value: unknown): StoredPost {
    const { author, text } = (value ?? {}) as Partial<Record<keyof StoredPost, unknown>>;
    if (typeof author !== "string" || typeof text !== "string") throw new TypeError("this is no post");
    return { author, text };
  },
};

/** Names are compared as they are written. */
const users = set("retwis:users");
const timeline = list("retwis:timeline");
const userOf = (name: string) =>
  object(`retwis:user:${name}`, { followers: set, following: set, posts: list, timeline: list });
const postOf = (id: string) =>
  object(`retwis:post:${id}`, {
    content: (key) => document(key, storedPost),
    likedBy: set,
    likes: counter,
  });

export function addUser(client: Client, name: string): Promise<void> {
  return client.execute((transaction) => users.add(transaction, name));
}

export function follow(
  client: Client,
  follower: string,
  followed: string,
  isFollowing = true,
): Promise<void> {
  return client.execute((transaction) => {
    const change = isFollowing ? "add" : "remove";
    userOf(follower).following[change](transaction, followed);
    userOf(followed).followers[change](transaction, follower);
  });
}

/** Returns the post's id. */
export function post(client: Client, author: string, text: string): Promise<string> {
  return client.execute(async (transaction) => {
    const id = transaction.uniqueName();
    const user = userOf(author);
    postOf(id).content.set(transaction, { author, text: text.slice(0, TEXT_MAX) });
    user.posts.append(transaction, id);
    timeline.append(transaction, id);
    for (const follower of await user.followers.value(transaction))
      userOf(follower).timeline.append(transaction, id);
    return id;
  });
}

/** Says whether the post was not liked before. */
export function like(client: Client, name: string, id: string): Promise<boolean> {
  return client.execute(async (transaction) => {
    const { likedBy, likes } = postOf(id);
    if (await likedBy.has(transaction, name)) return false;
    likedBy.add(transaction, name);
    likes.increment(transaction);
    return true;
  });
}

export interface Home {
  users: { name: string; isFollowed: boolean }[];
  /** Newest first. */
  posts: Post[];
}

/** What somebody sees: the posts of those whom he follows, or everybody's. */
export async function readHome(transaction: Reader, name: string, which: "own" | "all"): Promise<Home> {
  const source = which === "own" ? userOf(name).timeline : timeline;
  const [names, following, ids] = await Promise.all([
    users.value(transaction),
    userOf(name).following.value(transaction),
    source.value(transaction),
  ]);
  const followed = new Set(following);
  return {
    users: names.map((each) => ({ name: each, isFollowed: followed.has(each) })),
    posts: await Promise.all(
      ids
        .slice(-SHOWN_MAX)
        .reverse()
        .map((id) => readPost(transaction, name, id)),
    ),
  };
}

async function readPost(transaction: Reader, name: string, id: string): Promise<Post> {
  const { content, likedBy, likes } = postOf(id);
  const [stored, count, isLiked] = await Promise.all([
    content.value(transaction),
    likes.value(transaction),
    likedBy.has(transaction, name),
  ]);
  return { id, author: stored?.author ?? "", text: stored?.text ?? "", likes: Number(count), isLiked };
}

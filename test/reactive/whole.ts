/** What a service answers to a batch, where nobody minds how long it takes. */
import { finish, type Steps } from "../../src/reactive/replication/steps.ts";

export const whole = <Each>(answer: Each[] | Steps<Each[]>): Each[] =>
  Array.isArray(answer) ? answer : finish(answer);

import { expect, test } from "bun:test";
import type { Failure } from "../../../../src/cli/failure.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import {
  chooseSession,
  type ListedSession,
} from "../../../../src/roles/client/session/session-choice.ts";
import { rejection } from "../../../support/rejection.ts";

function session(id: string, name?: string, state: ListedSession["state"] = "running") {
  return { session_id: id, state, ...(name === undefined ? {} : { name }) } as ListedSession;
}

const old = session("a1b2c3", "build", "ended");
const newer = session("b1b2c3", "build");
const there = [old, session("build2"), newer, session("a1bfff")];

test.each([
  ["a1b2c3", old],
  ["build", newer],
  ["b1b2", newer],
  ["a1b2", old],
])("%s is found", (word, found) => {
  expect(chooseSession(there, word, "dev")).toBe(found);
});

test("an id goes before a name, and of names that ended the newest counts", () => {
  const id = session("build");
  expect(chooseSession([newer, id], "build", "dev")).toBe(id);
  const later = session("c", "build", "ended");
  expect(chooseSession([old, later], "build", "dev")).toBe(later);
});

test.each([
  ["xxxx", "it has a1bfff, build, build2, build"],
  ["", "it has a1bfff, build, build2, build"],
  ["x", "it has a1bfff, build, build2, build"],
  // Fewer than idPrefixCharsMin.
  ["b1b", "an id that begins so is there, but it takes 4 of its digits"],
])("%p is not found: %s", async (word, because) => {
  const failure = await failureOf(word, there);
  expect(failure.exitCode).toBe(3);
  expect(failure.because).toBe(because);
  expect(failure.fix).toBe("fly-vault sessions dev --all");
});

test("the beginning of two ids is neither", async () => {
  const two = [session("abcd1"), session("abcd2")];
  expect((await failureOf("abcd", two)).because).toBe("2 ids begin so");
});

test("no more than namesListedMax names are listed, the newest first", async () => {
  const many = Array.from({ length: clientLimits.namesListedMax + 5 }, (_, at) =>
    session(`s${at}`),
  );
  const because = (await failureOf("other", many)).because ?? "";
  expect(because.split(", ")).toHaveLength(clientLimits.namesListedMax + 1);
  expect(because).toStartWith("it has s14, s13");
  expect(because).toEndWith(", …");
  expect((await failureOf("other", [])).because).toBe("it has no sessions");
});

async function failureOf(word: string, sessions: readonly ListedSession[]): Promise<Failure> {
  const choosing = (async () => chooseSession(sessions, word, "dev"))();
  return (await rejection(choosing)) as Failure;
}

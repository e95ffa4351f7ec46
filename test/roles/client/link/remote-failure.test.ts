import { expect, test } from "bun:test";
import { explanations } from "../../../../src/cli/explanations.ts";
import { Failure } from "../../../../src/cli/failure.ts";
import { type FailureCode, failureCodes } from "../../../../src/cli/failure-codes.ts";
import { StreamError, type StreamErrorKind } from "../../../../src/protocol/byte-stream.ts";
import {
  ProtocolError,
  RemoteError,
  remoteErrorCodes,
  WireError,
} from "../../../../src/protocol/errors.ts";
import { type CloseReason, closeCodes, ConnectionClosed } from "../../../../src/quic/connection.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { asFailure, fromCloseReason } from "../../../../src/roles/client/link/remote-failure.ts";
import { isTransient } from "../../../../src/roles/client/link/transient.ts";
import { memoryContext } from "../../../support/memory-context.ts";

function failureFor(error: unknown): Failure {
  const failure = asFailure(error, "my-dev");
  if (failure instanceof Failure) return failure;
  throw new Error("Not a failure");
}

/** The shape every message keeps: one line, lower case or a quoted name first, no full stop, no jargon of ours. */
function checkWords(failure: Failure): void {
  expect(failure.message).toMatch(/^["a-z][^\n]*[^.!]$/);
  expect(failure.message).not.toMatch(/undefined|RemoteError|StreamError|\[object/);
  expect(failure.exitCode).toBe(failureCodes[failure.code].exitCode);
  expect(failure.exitCode).toBeGreaterThan(0);
}

test.each([...remoteErrorCodes])(
  "the machine's refusal %s has a failure, its words and a way on",
  (code) => {
    const failure = failureFor(new RemoteError(code, "the machine's words", "its hint"));
    checkWords(failure);
    expect(failure.because).toBe("the machine's words");
    expect(failure.fix).toBe("its hint");
    checkWords(failureFor(new RemoteError(code, "words")));
  },
);

const reasons: readonly CloseReason[] = [
  { kind: "idle" },
  { kind: "handshake-timeout" },
  { kind: "local", code: 0, reason: "" },
  { kind: "transport", code: 10, reason: "PROTOCOL_VIOLATION" },
  { kind: "peer-transport", code: 7, reason: "x" },
  ...[...Object.values(closeCodes), 99].map((code): CloseReason => ({
    kind: "peer-application",
    code,
    reason: "",
  })),
];

test.each(reasons)("the close reason %j has a failure", (reason) => {
  const failure = fromCloseReason(reason, "my-dev");
  checkWords(failure);
  expect(failure.because).not.toBe("");
  expect(failureFor(new ConnectionClosed(reason)).code).toBe(failure.code);
});

test.each(["reset", "stopped", "connection-lost", "aborted"] satisfies StreamErrorKind[])(
  "a stream that failed by %s is a lost link, exit 255",
  (kind) => {
    const failure = failureFor(new StreamError(kind, "words", 3));
    checkWords(failure);
    expect(failure).toMatchObject({ code: "FV-NET-003", exitCode: 255 });
  },
);

test("bytes that cannot be read name the versions; what is not ours passes through", () => {
  checkWords(failureFor(new WireError("Frame 0x99")));
  checkWords(failureFor(new ProtocolError("Stdin jumps")));
  const bug = new TypeError("x is undefined");
  expect(asFailure(bug, "my-dev")).toBe(bug);
  const failure = new Failure("FV-CFG-001", "x");
  expect(asFailure(failure, "my-dev")).toBe(failure);
});

test("what trying again cannot cure is not tried again", () => {
  const final: FailureCode[] = ["FV-AUTH-001", "FV-ATT-001", "FV-ATT-002", "FV-VER-001"];
  for (const code of final) expect(isTransient(new Failure(code, "x"))).toBeFalse();
  expect(isTransient(new Failure("FV-NET-002", "x"))).toBeTrue();
});

test("every code is explained, each in words of its own", async () => {
  expect(Object.keys(explanations).toSorted()).toEqual(Object.keys(failureCodes).toSorted());
  const meanings = new Set(Object.values(explanations).map(({ meaning }) => meaning));
  expect(meanings.size).toBe(Object.keys(failureCodes).length);
  for (const code of Object.keys(failureCodes)) {
    const context = memoryContext();
    expect(await main(["explain", code.toLowerCase()], context)).toBe(0);
    expect(context.out()).toStartWith(`${code}: `);
    expect(context.out()).toContain("What to do: ");
  }
  const list = memoryContext();
  expect(await main(["explain"], list)).toBe(0);
  for (const code of Object.keys(failureCodes)) expect(list.out()).toContain(code);
  const unknown = memoryContext();
  expect(await main(["explain", "FV-NET-999"], unknown)).toBe(2);
});

import { expect, test } from "bun:test";
import { ProtocolError } from "../../src/protocol/errors.ts";
import { limits } from "../../src/protocol/limits.ts";
import { OutputView } from "../../src/protocol/session-view.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("OutputView shows every byte once", () => {
  const view = new OutputView();
  expect(view.receive(0, bytes("abc"))).toEqual(bytes("abc"));
  expect(view.receive(1, bytes("bcd"))).toEqual(bytes("d"));
  expect(view.receive(0, bytes("ab"))).toEqual(bytes(""));
  expect(view.shownOffset).toBe(4);
});

test("OutputView refuses a hole that no gap explains", () => {
  const view = new OutputView(10);
  expect(() => view.receive(11, bytes("x"))).toThrow(ProtocolError);
  expect(() => view.skip(11, 20)).toThrow(ProtocolError);
  expect(view.skip(10, 20)).toBe(10);
  expect(view.skip(5, 25)).toBe(5);
  expect(view.skip(10, 20)).toBe(0);
  expect(view.receive(25, bytes("x"))).toEqual(bytes("x"));
});

test("OutputView asks for an acknowledgement every outputAckBytes", () => {
  const view = new OutputView();
  view.receive(0, new Uint8Array(limits.outputAckBytes - 1));
  expect(view.dueAck()).toBeUndefined();
  view.receive(limits.outputAckBytes - 1, bytes("x"));
  expect(view.dueAck()).toBe(limits.outputAckBytes);
  expect(view.dueAck()).toBeUndefined();
  view.skip(limits.outputAckBytes, 3 * limits.outputAckBytes);
  expect(view.dueAck()).toBe(3 * limits.outputAckBytes);
});

test("a client that acknowledges only when due never starves behind a ring of the default size", () => {
  expect(limits.outputAckBytes * 2).toBeLessThanOrEqual(limits.ringBytes);
});

import { expect, test } from "bun:test";
import { canAsk } from "../../src/cli/can-ask.ts";
import { Prompt, PromptAborted } from "../../src/cli/prompt.ts";
import { type MemoryContext, memoryContext } from "../support/memory-context.ts";
import { rejection } from "../support/rejection.ts";

function typed(text: string | Iterable<Uint8Array>): MemoryContext {
  const stdin = typeof text === "string" ? [Buffer.from(text)] : text;
  return memoryContext({ tty: true, stdin });
}

test("answers come line by line, however they arrive; an empty one is the fallback", async () => {
  const bytes = [...Buffer.from("one\r\n\ntwö\ny\nn\n")].map((byte) => Uint8Array.of(byte));
  for (const chunks of [bytes, [Buffer.concat(bytes)]]) {
    const context = typed(chunks);
    const prompt = new Prompt(context);
    expect(await prompt.line("a")).toBe("one");
    expect(await prompt.line("b", "x")).toBe("x");
    expect(await prompt.line("c")).toBe("twö");
    expect(await prompt.confirm("d?")).toBeTrue();
    expect(await prompt.confirm("e?")).toBeFalse();
    expect(context.err()).toBe("a: b [x]: c: d? [y/N]: e? [y/N]: ");
  }
});

test("what is hidden knows backspace and kill, and ignores other keys", async () => {
  const context = typed("wrong\u0015ab\u001bc😀\u007f\u007fd\r\nnext\r");
  const prompt = new Prompt(context);
  expect(await prompt.hidden("token")).toBe("abd");
  expect(await prompt.hidden("more")).toBe("next");
  expect(context.err()).toBe("token (not shown): \nmore (not shown): \n");
});

test("arrows, Home and F1 are no characters of what is hidden", async () => {
  const prompt = new Prompt(typed("a\u001b[Ab\u001b[1;5Cc\u001bOPd\u001b[3~\r"));
  expect(await prompt.hidden("token")).toBe("abcd");
});

test("Ctrl-C, Ctrl-D and the end of the input abort; nothing is taken for an answer", async () => {
  for (const [text, way] of [
    ["ab\u0003", "hidden"],
    ["\u0004", "hidden"],
    ["ab", "hidden"],
    ["ab", "line"],
    ["", "line"],
  ] as const)
    expect(await rejection(new Prompt(typed(text))[way]("q"))).toBeInstanceOf(PromptAborted);
});

test("somebody who never ends the line is not listened to for ever", async () => {
  for (const way of ["line", "hidden"] as const) {
    let sent = 0;
    const endless = (function* (): Generator<Uint8Array> {
      for (;;) {
        sent += 1;
        yield Buffer.alloc(4096, "x");
      }
    })();
    expect(await rejection(new Prompt(typed(endless))[way]("q"))).toBeInstanceOf(PromptAborted);
    expect(sent).toBeLessThan(20);
  }
});

test("nobody is asked without a terminal, in CI, or when told not to", () => {
  expect(canAsk(memoryContext({ tty: true }))).toBeTrue();
  expect(canAsk(memoryContext({ tty: false }))).toBeFalse();
  expect(canAsk(memoryContext({ tty: true, env: { CI: "true" } }))).toBeFalse();
  expect(canAsk(memoryContext({ tty: true, env: { FLY_VAULT_NO_INPUT: "1" } }))).toBeFalse();
});

import { expect, test } from "bun:test";
import type { InputStream } from "../../../../src/cli/context.ts";
import { type EscapeAction, EscapeKeys } from "../../../../src/roles/client/session/escape-keys.ts";
import { Keyboard } from "../../../../src/roles/client/session/keyboard.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { askLine } from "../../../../src/roles/client/session/ask-line.ts";

/** A terminal that gives what it is told, one chunk after the other was taken. */
class Typed implements InputStream {
  readonly isTty = true;
  taken = 0;
  readonly #chunks: string[];

  constructor(...chunks: string[]) {
    this.#chunks = chunks;
  }

  async *read(): AsyncGenerator<Uint8Array> {
    for (const chunk of this.#chunks) {
      this.taken += 1;
      yield Buffer.from(chunk);
    }
  }

  setMode(): void {}
}

async function rest(keyboard: Keyboard): Promise<string> {
  let text = "";
  for (let bytes = await keyboard.next(); bytes !== null; bytes = await keyboard.next())
    text += Buffer.from(bytes).toString();
  return text;
}

test("escape keys act though nobody takes what was typed before them", async () => {
  const keyboard = new Keyboard(new Typed("ls\r", "~s~", ".x"), new EscapeKeys());
  const actions: EscapeAction[] = [];
  keyboard.onAction = (action) => actions.push(action);
  keyboard.start();
  keyboard.start();
  await Bun.sleep(5);
  expect(actions).toEqual(["status", "leave"]);
  expect(await rest(keyboard)).toBe("ls\rx");
});

test("one who types further ahead than typedBytesMax is held back, and loses nothing", async () => {
  const chunk = "x".repeat(clientLimits.typedBytesMax / 4);
  const typed = new Typed(...Array.from({ length: 9 }, () => chunk));
  const keyboard = new Keyboard(typed, new EscapeKeys());
  keyboard.start();
  await Bun.sleep(5);
  expect(typed.taken).toBe(4);
  expect((await rest(keyboard)).length).toBe(chunk.length * 9);
});

async function* unreadable(): AsyncGenerator<Uint8Array> {
  yield await Promise.reject(new Error("gone"));
}

test("an error of reading reaches the one who waits", async () => {
  const broken = new Typed();
  broken.read = unreadable;
  const keyboard = new Keyboard(broken, undefined);
  keyboard.start();
  const outcome = await keyboard.next().catch((error: unknown) => error);
  expect(outcome).toMatchObject({ message: "gone" });
});

test.each([
  ["main\r", "main"],
  ["mai\u007fn\n", "man"],
  ["ü\u007fx\r", "x"],
  ["abc\u0015d\r", "d"],
  ["\u007f\u001bx\r", "x"],
  ["abc\u0003", undefined],
  ["\u0004", undefined],
])("%j is the answer %j", async (typed, line) => {
  const keyboard = new Keyboard(new Typed(typed, "rest"), undefined);
  let shown = "";
  const asking = askLine(keyboard, "? ", (text) => void (shown += text));
  keyboard.start();
  expect(await asking).toBe(line);
  expect(shown).toStartWith("? ");
  expect(shown).toEndWith("\r\n");
  expect(await rest(keyboard)).toBe("rest");
});

test("an answer has a limit, and what is behind it in one chunk is for the session", async () => {
  const long = "x".repeat(clientLimits.promptBytesMax);
  const keyboard = new Keyboard(new Typed(`${long}yz\recho\r`), undefined);
  const asking = askLine(keyboard, "? ", () => undefined);
  keyboard.start();
  expect(await asking).toBe(long);
  expect(await rest(keyboard)).toBe("echo\r");
});

test("a question is over when what it was about is over", async () => {
  const keyboard = new Keyboard(new Typed(), undefined);
  expect(await askLine(keyboard, "? ", () => undefined, Promise.resolve())).toBeUndefined();
});

test("for a session on pipes all that was typed is plain, the key that was held back, too", async () => {
  const typed = async (...chunks: string[]): Promise<string> => {
    const keyboard = new Keyboard(new Typed(...chunks), new EscapeKeys());
    const actions: EscapeAction[] = [];
    keyboard.onAction = (action) => actions.push(action);
    keyboard.start();
    await Bun.sleep(5);
    let text = "";
    for await (const bytes of keyboard.plain()) text += Buffer.from(bytes).toString();
    expect(actions).toEqual([]);
    return text;
  };
  expect(await typed("line\r", "~")).toBe("line\r~");
  expect(await typed("a")).toBe("a");
  const unread = new Keyboard(new Typed("~.\n"), new EscapeKeys());
  for await (const bytes of unread.plain()) expect(Buffer.from(bytes).toString()).toBe("~.\n");
});

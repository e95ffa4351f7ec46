import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  EscapeKeys,
  type EscapeOutput,
  parseEscapeKey,
} from "../../../../src/roles/client/session/escape-keys.ts";
import { seeded } from "../../../support/seed.ts";

function push(...keys: string[]): string[] {
  const escapes = new EscapeKeys();
  return keys.flatMap((text) => escapes.push(Buffer.from(text)).map(show));
}

function show(output: EscapeOutput): string {
  return output.kind === "bytes" ? Buffer.from(output.bytes).toString() : `<${output.action}>`;
}

test.each([
  [["~."], ["<leave>"]],
  [["ls\r~."], ["ls\r", "<leave>"]],
  [
    ["ls\r", "~", "."],
    ["ls\r", "<leave>"],
  ],
  [["~?"], ["<help>"]],
  [["~s~r~#"], ["<status>", "<retry>", "<forwards>"]],
  [["~x~C~P~B~\u001a"], ["<end>", "<command>", "<ports>", "<break>", "<suspend>"]],
  [["~~"], ["~"]],
  [["~~."], ["~."]],
  [["a~."], ["a~."]],
  [["~q"], ["~q"]],
  [
    ["x~", "C"],
    ["x~", "C"],
  ],
  [["~\r~."], ["~\r", "<leave>"]],
  [["echo ~.\r"], ["echo ~.\r"]],
])("%j gives %j", (keys, expected) => {
  expect(push(...keys)).toEqual(expected);
});

test("what is no escape passes through unchanged, however it is cut", () => {
  const typed = fc.stringMatching(/^[a-z~.?\r\n]{0,40}$/);
  fc.assert(
    fc.property(typed, fc.array(fc.nat(40)), (text, cuts) => {
      const whole = push(text).join("|");
      const points = [0, ...cuts.filter((cut) => cut < text.length), text.length];
      points.sort((a, b) => a - b);
      const pieces = points.slice(1).map((end, index) => text.slice(points[index], end));
      expect(
        push(...pieces)
          .join("|")
          .replaceAll("|", ""),
      ).toBe(whole.replaceAll("|", ""));
      if (!/(^|[\r\n])~/.test(text) && !text.includes("~")) expect(whole).toBe(text);
    }),
    seeded(200),
  );
});

test.each([
  ["^]", 0x1d],
  ["^a", 1],
  ["^Z", 26],
  ["%", 0x25],
  ["^", 0x5e],
  [undefined, 0x7e],
  ["none", undefined],
])("--escape %s is the byte %p", (text, byte) => {
  expect(parseEscapeKey(text)).toBe(byte);
});

test.each(["", "~~", "^", "^1", " ", "é", "\n", "None"].filter((text) => text !== "^"))(
  "--escape %j is refused",
  (text) => {
    expect(() => parseEscapeKey(text)).toThrow('one character, "^" and a letter, or "none"');
  },
);

test("another key takes the place of ~ in all it does", () => {
  const escapes = new EscapeKeys(parseEscapeKey("^]"));
  const typed = ["~.\r", "\u001d\u001dx\r", "\u001dq", "\r\u001d."];
  const shown = typed.flatMap((text) => escapes.push(Buffer.from(text)).map(show));
  expect(shown).toEqual(["~.\r", "\u001dx\r", "\u001dq", "\r", "<leave>"]);
  expect(escapes.help.split("\r\n").slice(0, 2)).toEqual([
    "^].  leave; the session goes on",
    "^]^] send ^]",
  ]);
});

test("what there is no use for is no escape, and not in the list", () => {
  const escapes = new EscapeKeys(undefined, ["ports", "port", "command"]);
  expect(escapes.push(Buffer.from("~P\r~C\r~p")).map(show)).toEqual(["~P\r~C\r~p"]);
  expect(escapes.help).not.toMatch(/~[PCp]/);
  expect(new EscapeKeys().help).toBe(
    [
      "~.  leave; the session goes on",
      "~~  send ~",
      "~x  end the session",
      "~#  forwards",
      "~C  command line: -L SPEC, -R SPEC, -D SPEC, -KL PORT",
      "~P  ports that programs there listen on",
      "~p  forward one of them, or stop it: its number, then Enter",
      "~s  how the link is",
      "~r  reconnect now",
      "~B  break: interrupt what is in the foreground (SIGINT)",
      "~^Z suspend this client",
      "~?  this list",
    ].join("\r\n"),
  );
});

test("a paste is no typing: its lines may begin with the key, and nothing of it is swallowed", () => {
  const keys = new EscapeKeys();
  const typed = (text: string): [string, string[]] => {
    const outputs = keys.push(Buffer.from(text));
    const bytes = outputs.flatMap((one) => (one.kind === "bytes" ? [...one.bytes] : []));
    const actions = outputs.flatMap((one) => (one.kind === "action" ? [one.action] : []));
    return [Buffer.from(bytes).toString(), actions];
  };
  const paste = "\u001b[200~one\r~.\r~~~\r~x\ry\r\u001b[201~";
  expect(typed(paste)).toEqual([paste, []]);
  expect(typed("\r~.")).toEqual(["\r", ["leave"]]);
  const begun = "\u001b[200~one\r";
  expect(typed(begun)).toEqual([begun, []]);
  expect(typed("~~~\r~.\r\u001b[20")).toEqual(["~~~\r~.\r\u001b[20", []]);
  expect(typed("1~ls\r~?")).toEqual(["1~ls\r", ["help"]]);
});

test("a paste without an end locks nobody in", () => {
  const keys = new EscapeKeys();
  keys.push(Buffer.from("\u001b[200~for ever"));
  keys.push(Buffer.from("\r"));
  expect(keys.push(Buffer.from("~"))).toEqual([]);
  expect(keys.push(Buffer.from("."))).toEqual([{ kind: "action", action: "leave" }]);
});

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { limits } from "../../../src/protocol/limits.ts";
import { requestSchema } from "../../../src/protocol/message.ts";
import { isTerminfo, isTerminalName } from "../../../src/protocol/terminfo.ts";
import { clientLimits } from "../../../src/roles/client/limits.ts";
import { surroundings } from "../../../src/roles/client/session/surroundings.ts";
import { findTerminfo } from "../../../src/roles/client/session/terminfo.ts";
import { hasLocale } from "../../../src/roles/init/guest-locale.ts";
import { installTerminfo, knowsTerminal } from "../../../src/roles/init/guest-terminfo.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { TestMachine } from "./machine.ts";

const folder = mkdtempSync(join(tmpdir(), "fv-surroundings-"));
let described: Uint8Array;

beforeAll(() => {
  const source = "fv-test|a terminal of a test,\n\tam, cols#80, clear=\\E[H\\E[2J,\n";
  writeFileSync(join(folder, "source.ti"), source);
  Bun.spawnSync(["tic", "-o", join(folder, "db"), join(folder, "source.ti")]);
  described = readFileSync(join(folder, "db/f/fv-test"));
});
afterAll(() => rmSync(folder, { recursive: true }));

test("a description is found where ncurses looks for it, and not beyond a limit", () => {
  expect(findTerminfo("fv-test", { TERMINFO: join(folder, "db") })).toEqual(described);
  expect(findTerminfo("fv-test", { TERMINFO_DIRS: `:${join(folder, "db")}` })).toEqual(described);
  expect(findTerminfo("fv-test", { HOME: folder })).toBeUndefined();
  expect(findTerminfo("../db/f/fv-test", { TERMINFO: join(folder, "db") })).toBeUndefined();
  mkdirSync(join(folder, "large/f"), { recursive: true });
  const large = Buffer.concat([described, Buffer.alloc(clientLimits.terminfoBytesMax)]);
  writeFileSync(join(folder, "large/f/fv-test"), large);
  expect(findTerminfo("fv-test", { TERMINFO: join(folder, "large") })).toBeUndefined();
});

test("what travels: the language always, the terminal with a terminal, its description by wish", () => {
  const env = {
    TERM: "fv-test",
    COLORTERM: "truecolor",
    LANG: "de_DE.UTF-8",
    LC_TIME: "C",
    LC_ALL: "",
    PATH: "/bin",
    TERMINFO: join(folder, "db"),
  };
  expect(surroundings({ env }, false)).toEqual({ ambient: { LANG: "de_DE.UTF-8", LC_TIME: "C" } });
  const { TERM, COLORTERM, LANG, LC_TIME } = env;
  const ambient = { TERM, COLORTERM, LANG, LC_TIME };
  const data = Buffer.from(described).toString("base64");
  expect(surroundings({ env }, true)).toEqual({ ambient, terminfo: { data } });
  expect(surroundings({ env }, true, "fallback")).toEqual({ ambient, terminfo: {} });
  expect(surroundings({ env }, true, "off")).toEqual({ ambient });
  expect(surroundings({ env: { TERM: "xterm-256color" } }, true)).toEqual({
    ambient: { TERM: "xterm-256color" },
    terminfo: {},
  });
});

test("a request has room for the largest description, and for no more", () => {
  const asking = { type: "session-open", id: "a", client: "c", tty: true };
  expect(limits.terminfoCharsMax).toBeGreaterThan((clientLimits.terminfoBytesMax * 4) / 3);
  expect(
    v.is(requestSchema, { ...asking, terminfo: { data: "A".repeat(limits.terminfoCharsMax) } }),
  ).toBeTrue();
  expect(
    v.is(requestSchema, { ...asking, terminfo: { data: "A".repeat(limits.terminfoCharsMax + 4) } }),
  ).toBeFalse();
});

test("what is no description is none, and no name leads out of its folder", () => {
  expect(isTerminfo(described)).toBeTrue();
  for (const length of [0, 11, 12, described.length - 1])
    expect(isTerminfo(described.subarray(0, length))).toBeFalse();
  expect(isTerminfo(Buffer.from("#!/bin/sh\nexit 0\n"))).toBeFalse();
  for (const name of ["", ".", "..", "a/b", "-x", "x\0", "x".repeat(65)])
    expect(isTerminalName(name)).toBeFalse();
  expect(["xterm-kitty", "xterm+256color", "9term"].every(isTerminalName)).toBeTrue();
  expect(installTerminfo("../x", folder, described)).toBeFalse();
  expect(installTerminfo("fv-test", folder, Buffer.from("nothing"))).toBeFalse();
});

test("a description is put into a home once and replaces what is in its way, a link included", () => {
  const home = join(folder, "home");
  mkdirSync(join(home, ".terminfo/f"), { recursive: true });
  writeFileSync(join(folder, "precious"), "precious");
  symlinkSync(join(folder, "precious"), join(home, ".terminfo/f/.fv-test.new"));
  expect(knowsTerminal("fv-test", home)).toBeFalse();
  expect(installTerminfo("fv-test", home, described)).toBeTrue();
  expect(knowsTerminal("fv-test", home)).toBeTrue();
  expect(readFileSync(join(folder, "precious"), "utf8")).toBe("precious");
  writeFileSync(join(folder, "file"), "");
  expect(installTerminfo("fv-test", join(folder, "file"), described)).toBeFalse();
});

test("locales: by folder, by archive, by the codeset's other spelling; never beyond their folder", () => {
  const locales = join(folder, "locale");
  mkdirSync(join(locales, "de_DE.utf8"), { recursive: true });
  const has = (name: string): boolean => hasLocale(name, locales);
  expect(["", "C", "POSIX", "C.UTF-8", "de_DE.UTF-8", "de_DE.utf8"].every(has)).toBeTrue();
  expect(
    ["de_DE", "de_DE.UTF-16", "fr_FR.UTF-8", "../locale/de_DE.utf8", "."].some(has),
  ).toBeFalse();
  const path = join(locales, "locale-archive");
  writeFileSync(path, archive("fr_FR.utf8\0nl_NL.iso885915@euro\0"));
  expect(["fr_FR.UTF-8", "nl_NL.ISO-8859-15@euro"].every(has)).toBeTrue();
  expect(["fr_FR", "FR.utf8", "nl_NL.iso885915"].some(has)).toBeFalse();
  const far = `${"x".repeat(initLimits.localeNamesBytesMax)}\0fr_FR.utf8\0`;
  for (const bad of [
    archive(far),
    archive("fr_FR.utf8", 0),
    Buffer.from("short"),
    Buffer.alloc(99),
  ]) {
    writeFileSync(path, bad);
    expect(has("fr_FR.UTF-8")).toBeFalse();
  }
  rmSync(path);
  Bun.spawnSync(["mkfifo", path]);
  expect(has("fr_FR.UTF-8")).toBeFalse();
});

test("in a guest a user's description is the user's own, and -e goes before all", async () => {
  const machine = await TestMachine.boot();
  try {
    await machine.shell("mkdir -p /home/dev; chown 1000:1000 /home/dev");
    const data = Buffer.from(described).toString("base64");
    const wish = {
      user: "dev",
      terminfo: { data },
      ambient: { TERM: "fv-test", LANG: "xx_XX.UTF-8" },
    };
    const script = "echo $TERM $LANG; stat -c '%U %a' ~/.terminfo/f/fv-test";
    const { stdout, stderr } = await machine.shell(script, wish);
    expect({ stdout, stderr }).toEqual({ stdout: "fv-test C.UTF-8\ndev 644\n", stderr: "" });
    const env = { TERM: "mine", LANG: "xx_XX" };
    expect((await machine.shell("echo $TERM $LANG", { ...wish, env })).stdout).toBe("mine xx_XX\n");
    // What somebody put in the way costs the session nothing.
    await machine.shell("rm -r .terminfo; ln -s /etc .terminfo", { user: "dev" });
    expect((await machine.shell("echo $TERM; ls /etc/f", wish)).stdout).toBe("fv-test\n");
  } finally {
    await machine[Symbol.asyncDispose]();
  }
}, 120_000);

/** As localedef writes it, as far as it is read: the header and the table of names. */
function archive(names: string, used = names.length): Buffer {
  const header = Buffer.alloc(56);
  header.writeUInt32LE(0xde02_0109, 0);
  header.writeUInt32LE(56, 20);
  header.writeUInt32LE(used, 24);
  return Buffer.concat([header, Buffer.from(names)]);
}

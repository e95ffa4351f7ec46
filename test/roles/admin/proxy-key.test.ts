import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deriveAdmissionKey, parseAdmissionKeys } from "../../../src/quic/admission-key.ts";
import { openMaster, parseProxyMasters } from "../../../src/quic/proxy-master.ts";
import { main } from "../../../src/roles/admin/main.ts";
import { memoryContext } from "../../support/memory-context.ts";

const machine = "148e21ea7e46e8";
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fv-proxy-key-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(words: readonly string[], given: Parameters<typeof memoryContext>[0] = {}) {
  const context = memoryContext(given);
  const code = await main(["proxy-key", ...words], context);
  return { code, out: context.out(), err: context.err() } satisfies Ran;
}

const on = async (path: string, command: string, ...words: string[]): Promise<Ran> =>
  run([command, "--key-file", path, ...words]);
const masters = (path: string) => parseProxyMasters(readFileSync(path, "utf8"));
const epochs = (path: string) => masters(path).map(({ epoch }) => epoch);

test("new, rotate, retire: one master, two with the newest in front, the newest alone", async () => {
  const path = join(folder, "life", "proxy.key");
  const made = await on(path, "new");
  expect([made.code, made.err]).toEqual([0, ""]);
  expect(made.out).toMatch(/^EPOCH {2}FINGERPRINT {7}USE\n0 {6}[0-9a-f]{16} {2}current\n$/);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const [first] = masters(path);
  for (const [live, after] of [
    [[1, 0], [1]],
    [[2, 1], [2]],
  ]) {
    expect((await on(path, "rotate")).code).toBe(0);
    expect(epochs(path)).toEqual(live ?? []);
    expect((await on(path, "retire")).code).toBe(0);
    expect(epochs(path)).toEqual(after ?? []);
  }
  const [last] = masters(path);
  expect(last.master).not.toEqual(first.master);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(folder, "life"))).toEqual(["proxy.key", "proxy.key.lock"]);
});

test("epochs go round without that of --open, and never meet a live one", async () => {
  const path = join(folder, "round");
  const written = { mode: 0o600 };
  for (const [epoch, next] of [
    [5, 6],
    [6, 0],
    [openMaster.epoch, 0],
  ]) {
    writeFileSync(path, `fvp1_${epoch}_${"Zm9v".repeat(10)}Zm8\n`, written);
    await on(path, "rotate");
    expect(epochs(path)).toEqual([next ?? 0, epoch ?? 0]);
  }
});

test("a file is never replaced by accident, and what does not fit its state is said", async () => {
  const path = join(folder, "kept");
  await on(path, "new");
  const before = readFileSync(path, "utf8");
  const again = await on(path, "new");
  expect([again.code, again.err.includes("FV-ADM-006")]).toEqual([7, true]);
  const early = await on(path, "retire");
  expect([early.code, early.err.includes("only one master is live")]).toEqual([7, true]);
  expect(readFileSync(path, "utf8")).toBe(before);
  await on(path, "rotate");
  const two = readFileSync(path, "utf8");
  const third = await on(path, "rotate");
  expect(third.code).toBe(7);
  expect(third.err).toContain("epochs 1 and 0");
  expect(third.err).toContain("proxy-key retire --key-file ");
  expect(readFileSync(path, "utf8")).toBe(two);
  expect((await on(path, "new", "--force")).code).toBe(0);
  expect(epochs(path)).toEqual([0]);
  expect(readFileSync(path, "utf8")).not.toBe(before);
});

test("show compares and never tells; derive makes one key or both", async () => {
  const path = join(folder, "shown");
  await on(path, "new");
  await on(path, "rotate");
  const [current, older] = masters(path);
  const secrets = readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.slice(7));
  const shown = await on(path, "show");
  const asJson = JSON.parse((await on(path, "show", "--json")).out);
  expect(asJson.data.map((row: { epoch: number; use: string }) => [row.epoch, row.use])).toEqual([
    [1, "current"],
    [0, "older"],
  ]);
  for (const secret of secrets) expect(shown.out + shown.err).not.toContain(secret);
  const keyOf = ({ epoch, master }: typeof current) => deriveAdmissionKey(master, epoch, machine);
  const one = await on(path, "derive", machine);
  expect([...parseAdmissionKeys(one.out)]).toEqual([keyOf(current)]);
  const both = await on(path, "derive", machine, "--all");
  expect([...parseAdmissionKeys(both.out)]).toEqual([keyOf(current), keyOf(older ?? current)]);
  const stdin = [readFileSync(path)];
  expect((await run(["derive", machine, "--key-file", "-"], { stdin })).out).toBe(one.out);
  const env = { FLY_VAULT_PROXY_KEY_FILE: path };
  expect((await run(["derive", machine], { env })).out).toBe(one.out);
});

test("the open key is the same for everybody, with a warning", async () => {
  const { code, out, err } = await run(["open", machine]);
  expect(code).toBe(0);
  expect([...parseAdmissionKeys(out)]).toEqual([
    deriveAdmissionKey(new Uint8Array(32), 7, machine),
  ]);
  expect(err).toContain("warning: this key is no secret");
});

test("what is wrong is said, and no master ever shown", async () => {
  const good = `fvp1_3_${"Zm9v".repeat(10)}Zm8`;
  const file = (name: string, text: string, mode = 0o600): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode });
    chmodSync(path, mode);
    return path;
  };
  const link = join(folder, "link");
  symlinkSync(file("target", good), link);
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["derive", machine], "--key-file is missing"],
    [["derive", "dev", "--key-file", file("good", good)], "14 hexadecimal digits"],
    [["open", "148E21EA7E46E8"], "14 hexadecimal digits"],
    [["show", "--key-file", join(folder, "none")], "there is no such file"],
    [["show", "--key-file", file("mistyped", `${good}x`)], "it is not fvp1_EPOCH_MASTER"],
    [["show", "--key-file", file("zeros", `fvp1_7_${"A".repeat(43)}`)], "nothing but zeros"],
    [["show", "--key-file", file("same", `${good}\n${good}\n`)], "of one epoch"],
    [["show", "--key-file", file("long", good.repeat(1000))], "at most"],
    [["show", "--key-file", file("seen", good, 0o640)], "others can read"],
    [["show", "--key-file", file("written", good, 0o620)], "can be written by others"],
    [["show", "--key-file", link], "symbolic link"],
    [["new", "--key-file", "-"], "must be a file"],
    [["rotate", "--key-file", "-"], "must be a file"],
    [["retire"], "--key-file is missing"],
    [["new", "--key-file", join(folder, "good", "below")], "cannot be used"],
  ];
  for (const [words, complaint] of cases) {
    const { code, out, err } = await run(words);
    expect([words, code, out]).toEqual([words, 2, ""]);
    expect(err).toContain(complaint);
    expect(err).not.toContain("Zm9v");
  }
  expect(existsSync(join(folder, "-"))).toBe(false);
});

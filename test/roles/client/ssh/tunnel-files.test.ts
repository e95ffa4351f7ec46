import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limits } from "../../../../src/protocol/limits.ts";
import { TunnelFiles } from "../../../../src/roles/client/ssh/tunnel-files.ts";

const home = mkdtempSync(join(tmpdir(), "fv-tunnels-"));
const env = { FLY_VAULT_HOME: home };
afterAll(() => rmSync(home, { recursive: true, force: true }));
let folder = "";
afterEach(() => rmSync(home, { recursive: true, force: true }));

function open(id: string): TunnelFiles {
  const files = TunnelFiles.open("dev", id, env);
  folder = String(
    readdirSync(home, { recursive: true }).find((name) => String(name).endsWith("ssh-tunnels/dev")),
  );
  return files;
}

const left = () => readdirSync(join(home, folder)).toSorted();

test("tunnels that live are nobody's to end, and leave nothing", () => {
  const [one, two] = [open("one"), open("two")];
  expect([one.ended, two.ended]).toEqual([[], []]);
  expect(left()).toEqual(["one", "two"]);
  expect(statSync(join(home, folder)).mode & 0o777).toBe(0o700);
  one.close({ isOver: true });
  two.close({ isOver: true });
  expect(left()).toEqual([]);
});

test("one that was killed is told of until the machine has heard, by one process at a time", () => {
  // It had to go before the machine knew.
  open("killed").close({ isOver: false });
  writeFileSync(join(home, folder, ".DS_Store"), "");
  const one = open("one");
  const two = open("two");
  expect([one.ended, two.ended]).toEqual([["killed"], []]);
  one.close({ isOver: true });
  const three = open("three");
  expect(three.ended).toEqual(["killed"]);
  three.forgetEnded();
  three.close({ isOver: true });
  two.close({ isOver: true });
  expect(left()).toEqual([".DS_Store"]);
});

test("no more are told of at once than a request has room for", () => {
  open("first").close({ isOver: true });
  for (let count = 0; count < limits.sshEndedMax + 3; count++)
    writeFileSync(join(home, folder, `killed-${count}`), "");
  const one = open("one");
  expect(one.ended).toHaveLength(limits.sshEndedMax);
  one.forgetEnded();
  one.close({ isOver: true });
  expect(left()).toHaveLength(3);
});

test("where files cannot be the tunnel works all the same", () => {
  const notAFolder = join(home, "file");
  mkdirSync(home, { recursive: true });
  writeFileSync(notAFolder, "");
  const files = TunnelFiles.open("dev", "one", { FLY_VAULT_HOME: notAFolder });
  expect(files.ended).toEqual([]);
  files.close({ isOver: true });
});

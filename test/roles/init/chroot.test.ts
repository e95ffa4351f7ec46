import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

const chroot = "/mnt";
const script = 'mount --rbind / "$0" && exec chroot "$0" "$@"';

/** Init in a chroot, below another root of its mount namespace: what is tried out in a container often stands so. */
let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot({
    rootfs: (root) => {
      makeBusyboxRootfs(root, { init: "none" });
      writeFileSync(join(root, "whose"), "the workload's");
    },
    starter: ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, chroot],
  });
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

test("a program has the workload's root", async () => {
  const { stdout } = await machine.shell(
    "cat /whose; ls -di / /proc/1/root/ | sed 's/ .*//' | uniq | wc -l",
  );
  expect(stdout).toBe("the workload's1\n");
});

test("a terminal is the controlling one and takes what is typed", async () => {
  const client = await machine.open({ tty: true, rows: 33, cols: 99 });
  await client.write("stty size; tty; sleep 2411\n");
  await machine.descendant("sleep 2411");
  await client.write("\x03");
  await client.write("echo after=$?; exit 7\n");
  const { stdout, exit } = await client.outcome();
  expect(stdout).toContain("33 99\r\n/dev/pts/0\r\n");
  expect(stdout).toContain("after=130");
  expect(exit).toEqual({ code: 7 });
});

test("init comes back to its own root after each start", async () => {
  const { ino, dev } = statSync(`/proc/${machine.pid}/root/.`);
  await machine.shell("true");
  expect(statSync(`/proc/${machine.pid}/root/.`)).toMatchObject({ ino, dev });
  expect(existsSync(`/proc/${machine.pid}/root/whose`)).toBe(false);
  expect(readlinkSync(`/proc/${machine.pid}/root`)).toBe(chroot);
});

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { OutOfMemory } from "../../../src/roles/init/out-of-memory.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { MemoryCgroup } from "../../support/memory-cgroup.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

/** Takes 512 MiB of memory, and uses them. */
const hog = "dd if=/dev/zero of=/dev/null bs=512M count=1";
const groupBytes = 64 * 1024 * 1024;

test("a session that the kernel kills for memory says so, by its names", async () => {
  await using machine = await TestMachine.boot();
  using group = new MemoryCgroup(groupBytes);
  const session = await machine.open({
    name: "build",
    argv: ["/bin/sh", "-c", `echo ready; read go; exec ${hog}`],
  });
  await session.until("ready");
  group.add(await machine.descendant("read go"));
  await session.write("go\n");
  expect((await session.outcome()).exit).toEqual({ signal: 9, out_of_memory: true });
  await machine.untilLogged('"event":"out-of-memory","killed":1');
  expect(machine.log).toContain(
    `"event":"out-of-memory","session":"${session.reply.id}","name":"build","program":"/bin/sh"`,
  );
  expect((await machine.shell("echo on")).stdout).toBe("on\n");
});

test("a child that nobody here waits for is counted", async () => {
  await using machine = await TestMachine.boot();
  using group = new MemoryCgroup(groupBytes);
  const session = await machine.open({
    argv: ["/bin/sh", "-c", `echo ready; read go; ${hog}; exit 3`],
  });
  await session.until("ready");
  group.add(await machine.descendant("read go"));
  await session.write("go\n");
  expect((await session.outcome()).exit).toEqual({ code: 3 });
  await machine.untilLogged('"event":"out-of-memory","killed":1');
  expect(machine.log).not.toContain(session.reply.id);
});

test("a workload that the kernel kills for memory says so, and comes back", async () => {
  const script = `#!/bin/sh\nwhile [ ! -e /run/go ]; do sleep 0.05; done\nexec ${hog}\n`;
  await using machine = await TestMachine.boot({
    rootfs: (root) => makeBusyboxRootfs(root, { init: { script } }),
    env: { VAULT_STOP_GRACE: "100ms" },
  });
  using group = new MemoryCgroup(groupBytes);
  group.add(Number(/"workload started"[^\n]*"pid":(\d+)/.exec(machine.log)?.[1]));
  const session = await machine.open({ argv: ["sleep", "1000"] });
  await machine.shell("touch /run/go").catch(() => undefined);
  // It went down with PID 1.
  expect((await session.outcome()).exit).toEqual({ signal: 9, out_of_memory: true });
  await machine.untilLogged('"signal":9,"out_of_memory":true');
  while (machine.log.match(/"workload started"/g)?.length !== 2) await Bun.sleep(10);
  expect((await machine.shell("echo back")).stdout).toBe("back\n");
});

test("a kill by hand is nothing of that kind", async () => {
  await using machine = await TestMachine.boot();
  expect((await machine.shell("kill -9 $$")).exit).toEqual({ signal: 9 });
  expect(machine.log).not.toContain('out-of-memory"');
});

test("a kill for memory explains deaths for two seconds, also when nobody asked at the time", () => {
  const [events, kernel] = [[] as string[], { count: 5, nowMs: 1000 }];
  const memory = new OutOfMemory(
    (_, event, fields) => void events.push(`${event} ${fields?.["killed"]}`),
    { read: () => kernel.count, monotonicMs: () => kernel.nowMs },
  );
  expect(memory.explainsKill()).toBe(false);
  kernel.count += 2;
  expect(memory.explainsKill()).toBe(true);
  kernel.nowMs += initLimits.outOfMemoryMs - 1;
  expect(memory.explainsKill()).toBe(true);
  kernel.nowMs += 1;
  expect(memory.explainsKill()).toBe(false);
  expect(events).toEqual(["out-of-memory 2"]);
});

test("memory pressure takes the workload first, then the link, the keeper last", async () => {
  await using machine = await TestMachine.boot();
  const { stdout } = await machine.shell("cat /proc/1/oom_score_adj /proc/self/oom_score_adj");
  expect(stdout).toBe("0\n0\n");
  // Lowering it takes CAP_SYS_RESOURCE, which not every test machine has.
  const mayLower = !machine.log.includes('"what":"out-of-memory score"');
  expect(scoreOf(machine.pid)).toBe(mayLower ? -900 : 0);
  await machine.untilLogged('"event":"listening"');
  expect(scoreOf(machine.linkPid())).toBe(0);
});

function scoreOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));
}

import { expect, setDefaultTimeout, test } from "bun:test";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

async function bootLongAgo(init: "busybox" | "none"): Promise<TestMachine> {
  const machine = await TestMachine.boot({ rootfs: (root) => makeBusyboxRootfs(root, { init }) });
  await Bun.sleep(initLimits.bootingMs);
  return machine;
}

/** Of each start and end of PID 1, in order, when it was logged. */
function moments(machine: TestMachine, event: string): number[] {
  return [...machine.log.matchAll(new RegExp(`"at":"([^"]+)"[^\n]*"event":"${event}"`, "g"))].map(
    ([, at]) => Date.parse(at ?? ""),
  );
}

test("reboot starts the workload again without the pause after a failure, as often as asked", async () => {
  await using machine = await bootLongAgo("none");
  for (let count = 1; count <= 3; count++) {
    await machine.shell("echo $$ >/run/before; reboot -f");
    while (moments(machine, "workload started").length <= count) await Bun.sleep(10);
    expect((await machine.shell("ls /run/before 2>&1")).stdout).toContain("No such file");
    await Bun.sleep(initLimits.bootingMs);
  }
  expect(machine.log.match(/"for":"reboot"/g)?.length).toBe(3);
});

test("an image's own init reboots through its shutdown", async () => {
  await using machine = await bootLongAgo("busybox");
  await machine.shell("reboot");
  await machine.untilLogged('"for":"reboot"');
  expect((await machine.shell("echo up")).stdout).toBe("up\n");
});

test.each(["poweroff -f", "halt -f"])("%s ends init, with exit code 0", async (command) => {
  await using machine = await bootLongAgo("none");
  await machine.shell(command);
  while (!machine.log.includes('"event":"stopped"')) await Bun.sleep(10);
  expect(await machine.stop()).toBe(0);
  expect(machine.log).toContain('"event":"stopping","reason":"power-off"');
  expect(machine.log.trim().split("\n").at(-1)).toContain('"event":"stopped"');
});

test("an init that switches off or reboots as it boots is one that fails: it is tried again, more and more slowly", async () => {
  for (const command of ["poweroff", "reboot"]) {
    const script = `#!/bin/sh\nexec /bin/${command} -f\n`;
    await using machine = await TestMachine.boot({
      rootfs: (root) => makeBusyboxRootfs(root, { init: { script } }),
    });
    while (moments(machine, "workload ended").length < 3) await Bun.sleep(20);
    const [ended, started] = [
      moments(machine, "workload ended"),
      moments(machine, "workload started"),
    ];
    // Timers and the log's clock may differ by a millisecond.
    expect((started[1] ?? 0) - (ended[0] ?? 0)).toBeGreaterThanOrEqual(
      initLimits.restartPauseMs - 2,
    );
    expect((started[2] ?? 0) - (ended[1] ?? 0)).toBeGreaterThanOrEqual(
      2 * initLimits.restartPauseMs - 2,
    );
    expect(machine.log).not.toContain("workload asked");
  }
});

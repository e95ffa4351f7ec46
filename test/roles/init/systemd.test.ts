import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

/**
 * Takes half a minute to make, so it is asked for by name:
 *   mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm systemd.tar
 *   FV_SYSTEMD_ROOTFS=systemd.tar bun test test/roles/init/systemd.test.ts
 * Where the keeper is in the topmost control group, systemd leaves empty groups of its own there.
 */
const archive = process.env["FV_SYSTEMD_ROOTFS"];

test.skipIf(archive === undefined)(
  "systemd boots as PID 1, commands reach it, and it shuts down when asked",
  async () => {
    await using machine = await TestMachine.boot({
      rootfs: (root) => {
        mkdirSync(root);
        Bun.spawnSync(["tar", "-C", root, "-xf", archive ?? ""], {
          env: { PATH: process.env["PATH"] ?? "" },
        });
      },
    });
    expect((await machine.status()).runtime).toBe("system-init");
    const settled = await machine.shell(
      "while [ ! -S /run/systemd/private ]; do sleep 0.05; done; systemctl is-system-running --wait",
    );
    expect(settled).toEqual({ stdout: "running\n", stderr: "", exit: { code: 0 } });
    const { stdout } = await machine.shell(
      "systemctl --failed --plain --no-legend; systemctl show -p Virtualization --value",
    );
    expect(stdout).toBe("container-other\n");
    const startMs = performance.now();
    expect(await machine.stop()).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(3000);
  },
);

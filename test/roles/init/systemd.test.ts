import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DebianMachine } from "./debian-machine.ts";
import type { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

let debian: DebianMachine | undefined;
let machine: TestMachine;

/** From the bottom of a boot to the top: a unit that leaves a trace at its start and at its end. */
const unit = `[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/touch /run/was-started
ExecStop=/bin/touch /root/was-stopped
[Install]
WantedBy=multi-user.target
`;

beforeAll(async () => {
  debian = await DebianMachine.boot("debian-systemd", {
    VAULT_HOSTNAME: "my-vault",
    VAULT_STOP_GRACE: "30s",
  });
  ({ machine } = debian);
});

afterAll(async () => {
  await debian?.[Symbol.asyncDispose]();
});

async function settled(): Promise<string> {
  const { stdout } = await machine.shell(
    "while [ ! -S /run/systemd/private ]; do sleep 0.05; done; systemctl is-system-running --wait",
  );
  return stdout;
}

test("systemd boots as PID 1 without a failed unit", async () => {
  expect((await machine.status()).runtime).toBe("system-init");
  expect(await settled()).toBe("running\n");
  const { stdout } = await machine.shell(
    "cat /proc/1/comm; systemctl --failed --plain --no-legend; systemctl show -p Virtualization --value",
  );
  expect(stdout).toBe("systemd\ncontainer-other\n");
});

test("the name of the machine stays ours", async () => {
  expect(
    (await machine.shell("hostname; hostnamectl hostname 2>&1; cat /etc/hostname")).stdout,
  ).toBe("my-vault\nmy-vault\nmy-vault\n");
});

test("a session has a terminal, and its program a service manager", async () => {
  const session = await machine.open({ tty: true });
  await session.write("tty; systemctl start dbus && systemctl is-active dbus; exit 3\n");
  const { stdout, exit } = await session.outcome();
  expect(stdout).toContain("/dev/pts/");
  expect(stdout).toContain("\nactive\r\n");
  expect(exit).toEqual({ code: 3 });
});

test("reboot stops the units and boots again at once", async () => {
  await machine.run(["tee", "/etc/systemd/system/trace.service"], { stdin: unit });
  await machine.shell("systemctl enable --now trace; systemctl reboot");
  await machine.untilLogged('"for":"reboot"');
  expect(await settled()).toBe("running\n");
  expect((await machine.shell("ls /run/was-started /root/was-stopped")).stdout).toBe(
    "/root/was-stopped\n/run/was-started\n",
  );
  await machine.run(["rm", "/root/was-stopped"]);
});

test("it shuts down when asked, and its units with it", async () => {
  expect(await machine.stop()).toBe(0);
  expect(existsSync(join(machine.dataDir, "persist/root/was-stopped"))).toBe(true);
  expect(machine.log).not.toContain("workload killed");
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(`${machine.dataDir}/rootfs`);
});

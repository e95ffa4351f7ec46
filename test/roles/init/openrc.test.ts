import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DebianMachine } from "./debian-machine.ts";
import type { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

/** Debian's OpenRC runs below sysvinit, with Debian's scripts for boot and shutdown. */
let debian: DebianMachine | undefined;
let machine: TestMachine;

const service = `#!/sbin/openrc-run
command=/bin/sleep
command_args=1000000
command_background=yes
pidfile=/run/trace.pid
stop_post() { touch /root/was-stopped; }
`;

beforeAll(async () => {
  debian = await DebianMachine.boot("debian-openrc", {
    VAULT_HOSTNAME: "my-vault",
    VAULT_STOP_GRACE: "30s",
  });
  ({ machine } = debian);
});

afterAll(async () => {
  await debian?.[Symbol.asyncDispose]();
});

/** OpenRC itself has no word for waiting. */
async function untilBooted(): Promise<void> {
  await machine.shell(
    "until [ $(rc-status --runlevel) = default ] && [ ! -e /run/openrc/rc.starting ]; do sleep 0.05; done",
  );
}

test("sysvinit is PID 1, and OpenRC reaches its default runlevel", async () => {
  expect((await machine.status()).runtime).toBe("system-init");
  await untilBooted();
  const { stdout } = await machine.shell(
    "cat /proc/1/comm; rc-status --crashed; rc-status default",
  );
  expect(stdout).toMatch(/^init\nRunlevel: default\n/);
  expect(stdout).toMatch(/rc.local +\[ +started/);
});

test("the name of the machine stays ours", async () => {
  const { stdout } = await machine.shell(
    "rc-service hostname.sh restart; hostname; cat /etc/hostname",
  );
  expect(stdout).toEndWith("my-vault\nmy-vault\n");
});

test("a session has a terminal and starts services", async () => {
  await machine.run(["tee", "/etc/init.d/trace"], { stdin: service });
  const session = await machine.open({ tty: true });
  // A script of the second in which the machine booted is not newer to OpenRC, which then never stops it: -u.
  await session.write(
    "tty; chmod +x /etc/init.d/trace; rc-update -u; rc-update add trace default; rc-service trace start; exit 3\n",
  );
  const { stdout, exit } = await session.outcome();
  expect(stdout).toContain("/dev/pts/");
  expect(exit).toEqual({ code: 3 });
  // Whoever starts it writes down its number before it is that program.
  const { stdout: command } = await machine.shell(
    "pid=$(cat /run/trace.pid); for i in $(seq 100); do grep -q ^/bin/sleep /proc/$pid/cmdline && break; sleep 0.1; done; cat /proc/$pid/cmdline",
  );
  expect(command).toBe("/bin/sleep\x001000000\x00");
});

test("reboot stops the services and boots again, with volume and network as they were", async () => {
  await machine.shell("reboot");
  await machine.untilLogged('"for":"reboot"');
  await untilBooted();
  const { stdout } = await machine.shell(
    "ls /root/was-stopped; rc-service trace status; cat /sys/class/net/fv0/flags",
  );
  expect(stdout).toContain("/root/was-stopped\n");
  expect(stdout).toContain("status: started");
  expect(Number(stdout.trim().split("\n").at(-1)) & interfaceUp).toBe(interfaceUp);
  expect(debian?.volumeFlags).toBe("rw");
  await machine.run(["rm", "/root/was-stopped"]);
});

test("it shuts down when asked, and its services with it", async () => {
  expect(await machine.stop()).toBe(0);
  expect(existsSync(join(machine.dataDir, "persist/root/was-stopped"))).toBe(true);
  expect(machine.log).not.toContain("workload killed");
});

const interfaceUp = 1;

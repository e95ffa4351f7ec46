import { createHash } from "node:crypto";
import { randomBytes } from "node:crypto";
import { freePort } from "../free-port.ts";
import { programEnv, programPath } from "../../test/support/program.ts";
import type { Stage } from "./stage.ts";

/** Each is one thing the machine must stand; resolves with what there is to tell of it. */

export async function boots(stage: Stage): Promise<string> {
  const { state } = await stage.untilUp();
  const kernel = (await stage.fromOutside("uname -r")).trim();
  const log = await stage.log();
  if (state !== "cold") throw new Error(`A new machine is ${state}`);
  if (!log.includes('"firewall-on"')) throw new Error(`No firewall:\n${log}`);
  const first = (await stage.fromOutside("cat /proc/1/cmdline | tr '\\0' ' '")).trim();
  return `Linux ${kernel}, pid 1 is "${first}", attested over UDP, firewall on`;
}

export async function provisions(stage: Stage, archive: string): Promise<string> {
  await stage.client(["provision", "dev", "--from", archive], { timeoutMs: 900_000 });
  return (await stage.shell(". /etc/os-release; echo $PRETTY_NAME on $(uname -r)")).trim();
}

export async function pipes(stage: Stage, bytes: number): Promise<string> {
  const sent = randomBytes(bytes);
  const { stdout } = await stage.client(["exec", "dev", "--", "cat"], {
    stdin: sent,
    timeoutMs: 600_000,
  });
  const [before, after] = [sha256(sent), sha256(stdout)];
  if (before !== after) throw new Error(`The pipe changed the bytes: ${before} became ${after}`);
  return `${bytes / 1024} KiB there and back, sha256 ${before.slice(0, 16)}…`;
}

export async function hasConsole(stage: Stage): Promise<string> {
  const terminal = stage.vault.terminal(["connect", "dev"]);
  await waitFor(
    () => /[#$] /.test(terminal.screen()),
    60_000,
    () => terminal.screen(),
  );
  terminal.type("stty size; tty; exit 7\r");
  const code = await terminal.exited;
  const [size, tty] = [/30 100/, /\/dev\/pts\/\d+/].map((one) => one.exec(terminal.screen())?.[0]);
  if (code !== 7 || size === undefined || tty === undefined)
    throw new Error(`The console ended with ${code}:\n${terminal.screen()}`);
  return `${tty}, size ${size}, exit status ${code}`;
}

export async function forwards(stage: Stage): Promise<string> {
  const page = "from inside the machine\n";
  await stage.shell(
    `mkdir -p /tmp/www; printf '${page}' >/tmp/www/index.html; busybox httpd -p 127.0.0.1:3000 -h /tmp/www`,
  );
  const port = freePort();
  const child = Bun.spawn([programPath("fly-vault"), "forward", "dev", `${port}:3000`], {
    cwd: "/",
    env: programEnv(stage.vault.env),
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    let text = "";
    await waitFor(async () => {
      text = await fetch(`http://127.0.0.1:${port}/`).then(
        (answer) => answer.text(),
        () => "",
      );
      return text !== "";
    });
    if (text !== page) throw new Error(`The forward gave "${text}"`);
    return `http from 127.0.0.1:${port}: ${text.trim()}`;
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
}

/** As Fly suspends: the machine stands still, and its clocks with it. */
export async function survivesPause(stage: Stage, pauseMs: number): Promise<string> {
  const count = 100;
  const counting = stage.client(
    ["exec", "dev", "--", "sh", "-c", `for n in $(seq 1 ${count}); do echo $n; sleep 0.1; done`],
    { timeoutMs: pauseMs + 240_000 },
  );
  await Bun.sleep(3000);
  await stage.pause();
  await Bun.sleep(pauseMs);
  await stage.resume();
  const { text } = await counting;
  const whole = Array.from({ length: count }, (_, index) => `${index + 1}\n`).join("");
  if (text !== whole) throw new Error(`The session lost output:\n${text}`);
  const behindS = await clockBehindS(stage);
  if (behindS * 1000 < pauseMs - 5000) throw new Error(`Its clock is only ${behindS} s behind`);
  await stage.client(["status", "dev", "--json"]);
  return `the session counted on, each number once; a new login with its clock ${behindS} s behind`;
}

/** An admission key is good for 90 s around the machine's time. */
export async function refusesWrongClock(stage: Stage): Promise<string> {
  await stage.fromOutside("date -s @$(( $(date +%s) - 600 ))");
  const refused = await stage.vault.client(["status", "dev"]);
  if (refused.exitCode !== 6 || !refused.stderr.includes("this computer's clock is right"))
    throw new Error(`${refused.exitCode}: ${refused.stderr}`);
  await stage.fromOutside(`date -s @${Math.floor(Date.now() / 1000)}`);
  await stage.client(["status", "dev", "--json"]);
  return "600 s behind: FV-NET-002, which names the clock; set right: in at once";
}

/** On both ways through the machine's own kernel. */
export async function standsWeather(stage: Stage, bytes: number): Promise<string> {
  const tc = "with_libraries tc";
  const half = "netem delay 50ms loss 2.5%";
  await stage.fromOutside(
    [
      "ip link set ifb0 up",
      `${tc} qdisc replace dev eth0 root ${half}`,
      `${tc} qdisc replace dev ifb0 root ${half}`,
      `${tc} qdisc add dev eth0 ingress`,
      `${tc} filter add dev eth0 parent ffff: matchall action mirred egress redirect dev ifb0`,
    ].join(" && "),
  );
  try {
    const said = await pipes(stage, bytes);
    const lost = await stage.fromOutside(
      `${tc} -s qdisc show | grep -A1 netem | grep -o 'dropped [0-9]*'`,
    );
    const dropped = [...lost.matchAll(/dropped (\d+)/g)].map(([, count]) => Number(count));
    if (dropped.length !== 2 || dropped.includes(0)) throw new Error(`Nothing was lost: ${lost}`);
    return `${said}, over ${dropped.join(" + ")} lost packets`;
  } finally {
    await stage.fromOutside(`${tc} qdisc del dev eth0 root; ${tc} qdisc del dev eth0 ingress`);
  }
}

export async function stops(stage: Stage): Promise<string> {
  await stage.call("stop");
  await stage.untilState("stopped");
  const log = await stage.log();
  if (!log.includes("entrypoint ended with 0")) throw new Error(`It was killed:\n${log}`);
  const check = Bun.spawn(["e2fsck", "-fn", await stage.volumeFile()], {
    env: { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const words = await check.stdout.text();
  if ((await check.exited) !== 0) throw new Error(`The volume is damaged:\n${words}`);
  return "the entrypoint ended with 0; e2fsck finds nothing wrong with the volume";
}

async function clockBehindS(stage: Stage): Promise<number> {
  return Math.round(Date.now() / 1000 - Number(await stage.fromOutside("date +%s")));
}

async function waitFor(
  holds: () => boolean | Promise<boolean>,
  limitMs = 60_000,
  what: () => string = () => "",
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadline)
      throw new Error(`Waited ${limitMs / 1000} s in vain. ${what()}`);
    await Bun.sleep(200);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

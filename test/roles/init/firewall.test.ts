import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../../src/cli/usage-error.ts";
import { parseOpenings } from "../../../src/roles/init/firewall-rules.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { listenPorts } from "../../../src/roles/init/link-address.ts";
import { signalProcess } from "../../../src/system/process.ts";
import { NetworkPair } from "../../support/network-pair.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

describe("a machine with its own network", () => {
  let network: NetworkPair;
  let machine: TestMachine;

  beforeAll(async () => {
    network = new NetworkPair();
    machine = await TestMachine.boot({
      starter: network.starter(network.inside),
      env: {
        VAULT_FIREWALL: "on",
        VAULT_LISTEN: "[::]:8443",
        VAULT_OPEN_PORTS: "tcp/80, udp/5000-5010",
      },
    });
    await machine.untilLogged('"event":"listening"');
  });

  afterAll(async () => {
    await machine[Symbol.asyncDispose]();
    network[Symbol.dispose]();
  });

  /**
   * Where nobody listens, a packet that is let through is refused; one that is not is never answered. The
   * first words come once the program that asks runs: a busy computer takes its time until then.
   */
  async function tcp(address: string, port: number, from = network.outside): Promise<string> {
    return fateOf(from, `</dev/tcp/${address}/${port}; echo over`);
  }

  async function udp(port: number): Promise<string> {
    const at = `/dev/udp/${network.address4}/${port}`;
    return fateOf(network.outside, `exec 3<>${at}; echo x >&3; exec head -c 1 <&3`);
  }

  async function fateOf(space: string, script: string): Promise<string> {
    using asking = network.start(space, `echo asking; ${script}`);
    await asking.until("asking");
    const words = await asking.until("refused", 1000);
    if (words.includes("refused")) return "let through";
    return words === "asking\n" ? "dropped" : words;
  }

  test("it says that it is on", async () => {
    expect(await machine.status()).toMatchObject({ firewall: "on" });
  });

  test("outsiders reach the opened ports and no other", async () => {
    const { address4 } = network;
    expect(await Promise.all([80, 22, 8443].map(async (port) => tcp(address4, port)))).toEqual([
      "let through",
      "dropped",
      "dropped",
    ]);
    expect(await Promise.all([4999, 5000, 5010, 5011, 80].map(udp))).toEqual([
      "dropped",
      "let through",
      "let through",
      "dropped",
      "dropped",
    ]);
  });

  test("over IPv6 as well, whose neighbours must find each other first", async () => {
    const { address6 } = network;
    expect(await tcp(address6, 80)).toBe("let through");
    expect(await tcp(address6, 22)).toBe("dropped");
    expect(await network.run(network.outside, "ip -6 neighbour show fd00:fb::1")).toContain(
      "lladdr",
    );
  });

  test.each(["address4", "address6"] as const)("the service answers at %s", async (kind) => {
    // A version nobody knows: the answer is a list of those that are known.
    const packet = "\\xc0\\x1a\\x2a\\x3a\\x4a\\x08connectn\\x08connects";
    const answer = await network.run(
      network.outside,
      `exec 3<>/dev/udp/${network[kind]}/8443; (printf '${packet}'; head -c 1200 /dev/zero) >/tmp/$$; ` +
        "cat /tmp/$$ >&3; rm /tmp/$$; timeout 30 head -c 15 <&3 | od -An -tx1",
    );
    expect(answer).toMatch(/^ [89a-f]. 00 00 00 00 08 /);
  });

  test("packets to the service take no place in the table of connections", async () => {
    const count = "cat /proc/sys/net/netfilter/nf_conntrack_count";
    const before = Number(await network.run(network.inside, count));
    // Each from a port of its own.
    await network.run(
      network.outside,
      `for i in {1..100}; do echo x >/dev/udp/${network.address4}/8443; done`,
    );
    expect(Number(await network.run(network.inside, count)) - before).toBeLessThan(50);
  });

  test("loopback, answers to what the machine asks, and ICMP pass", async () => {
    expect(await tcp("127.0.0.1", 22, network.inside)).toBe("let through");
    expect(await tcp("::1", 22, network.inside)).toBe("let through");
    expect(await tcp("192.0.2.2", 22, network.inside)).toBe("let through");
    const { stdout } = await machine.shell(
      "nc -l -p 7777 127.0.0.1 </etc/os-release & until nc 127.0.0.1 7777; do sleep 0.05; done; ping -c 1 -W 20 192.0.2.2",
    );
    expect(stdout).toContain("ID=busybox");
    expect(stdout).toContain("1 packets received");
  });

  test("a next init puts its rules in the place of the last one's, and a stop takes them away", async () => {
    await machine.kill();
    await machine.start();
    const rules = await network.run(network.inside, "nft list ruleset");
    expect(rules.match(/^table /gm)?.length).toBe(1);
    expect(rules.match(/udp dport 8443 accept/g)?.length).toBe(1);
    await network.run(network.inside, "nft add table ip other");
    await machine.stop();
    expect(await network.run(network.inside, "nft list tables")).toBe("table ip other\n");
    expect(await tcp(network.address4, 22)).toBe("let through");
    await network.run(network.inside, "nft delete table ip other");
    await machine.start();
    await machine.untilLogged('"event":"listening"');
  });
});

const unshared = ["unshare", "--net", "--mount", "sh", "-c"];

test.each([
  [
    "nft is not installed",
    [...unshared, 'mount --bind /dev/null "$(command -v nft)"; exec "$0" "$@"'],
  ],
  ["nft: .*permitted", [...unshared, 'exec setpriv --bounding-set=-net_admin "$0" "$@"']],
])("without the means it goes on and says so: %s", async (reason, starter) => {
  await using machine = await TestMachine.boot({
    starter,
    env: {
      VAULT_FIREWALL: "on",
      VAULT_LISTEN: "127.0.0.1:8443",
      PATH: `${process.env["PATH"]}:/usr/sbin`,
    },
  });
  const { firewall, firewall_reason } = await machine.status();
  expect(firewall).toBe("unavailable");
  expect(firewall_reason).toMatch(new RegExp(`^${reason}`));
  expect(machine.log.match(/"event":"firewall-unavailable"/g)?.length).toBe(1);
  expect((await machine.shell("echo on")).stdout).toBe("on\n");
});

test.each([
  // What it started holds on to its descriptors, whatever becomes of itself.
  ["nft did not answer", "sleep 1912 & echo $! >$0.pid; wait"],
  ["nft: exit code 3", "echo $$ >$0.pid; exit 3"],
])(
  "an nft that hangs or fails without a word does not hold up the boot: %s",
  async (reason, script) => {
    const folder = mkdtempSync(join(tmpdir(), "fv-nft-"));
    const nft = join(folder, "nft");
    writeFileSync(nft, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    await using machine = await TestMachine.boot({
      env: {
        VAULT_FIREWALL: "on",
        VAULT_LISTEN: "127.0.0.1:8443",
        PATH: `${folder}:${process.env["PATH"]}`,
      },
    });
    const { firewall_reason } = await machine.status();
    signalProcess(Number(readFileSync(`${nft}.pid`, "utf8")), 9);
    rmSync(folder, { recursive: true });
    expect(firewall_reason).toBe(reason);
  },
);

test("it needs no /etc/protocols and no /etc/services, which an image of Debian alone lacks", async () => {
  const bare = "for file in protocols services; do mount --bind /dev/null /etc/$file; done";
  await using machine = await TestMachine.boot({
    starter: [...unshared, `${bare}; exec "$0" "$@"`],
    env: { VAULT_FIREWALL: "on", VAULT_LISTEN: "127.0.0.1:8443", VAULT_OPEN_PORTS: "tcp/80" },
  });
  expect(await machine.status()).toMatchObject({ firewall: "on" });
});

test("by itself it touches no network that may be somebody's computer's", async () => {
  using network = new NetworkPair();
  for (const env of [{}, { VAULT_FIREWALL: "auto" }, { VAULT_FIREWALL: "off" }]) {
    await using machine = await TestMachine.boot({ starter: network.starter(network.inside), env });
    expect((await machine.status()).firewall).toBe("off");
    expect(await network.run(network.inside, "nft list ruleset")).toBe("");
  }
});

test("by itself it is on where Fly's socket is in its place and the machine has an id", async () => {
  const made = mkdirSync("/.fly", { recursive: true });
  try {
    const fly = 'mount -t tmpfs none /.fly && touch /.fly/api && exec "$0" "$@"';
    for (const [id, expected] of [
      ["148e21ea7e46e8", "on"],
      ["", "off"],
    ] as const) {
      await using machine = await TestMachine.boot({
        starter: [...unshared, fly],
        env: { VAULT_API_SOCKET: "/.fly/api", FLY_MACHINE_ID: id },
      });
      expect((await machine.status()).firewall).toBe(expected);
    }
  } finally {
    if (made !== undefined) rmdirSync(made);
  }
});

test("parseOpenings: ports and ranges, with spaces or commas", () => {
  expect(parseOpenings("tcp/80 udp/5000-5010,tcp/1-65535")).toEqual([
    { protocol: "tcp", firstPort: 80, lastPort: 80 },
    { protocol: "udp", firstPort: 5000, lastPort: 5010 },
    { protocol: "tcp", firstPort: 1, lastPort: 65_535 },
  ]);
  expect(parseOpenings(" ")).toEqual([]);
});

test.each([
  "80",
  "tcp/0",
  "tcp/65536",
  "tcp/5-4",
  "sctp/80",
  "tcp/80;flush ruleset",
  "tcp/-1",
  "tcp/",
])("parseOpenings refuses %j and names it", (text) => {
  expect(() => parseOpenings(`tcp/22 ${text}`)).toThrow(UsageError);
});

const entries = (count: number): string => Array(count).fill("tcp/80").join(" ");

test("parseOpenings takes so many entries and no more", () => {
  expect(parseOpenings(entries(initLimits.openingsMax)).length).toBe(initLimits.openingsMax);
  expect(() => parseOpenings(entries(initLimits.openingsMax + 1))).toThrow("are allowed");
});

test("listenPorts: of all addresses, each once", () => {
  expect(listenPorts(undefined)).toEqual([8443]);
  expect(listenPorts("1.2.3.4:8443, [::1]:9000,name:8443")).toEqual([8443, 9000]);
  expect(listenPorts("nonsense,x:99999")).toEqual([]);
});

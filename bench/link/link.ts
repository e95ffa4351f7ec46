import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { childEnv } from "../../src/system/child-env.ts";
import { system } from "../harness/sandbox.ts";
import type { LinkOrder } from "./link.child.ts";
import type { LinkWeather } from "./link-queue.ts";

/** Of this side of the line, where sshd and the machines are. */
export const farAddress = "10.77.0.2";
const nearAddress = "10.77.0.1";

/**
 * A line to a second network namespace, the laptop's: the same delay and loss for whatever is sent over it,
 * TCP and UDP alike. In a sandbox only, which takes both away.
 */
export class Link implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #answers: AsyncIterator<Uint8Array>;

  private constructor() {
    const file = fileURLToPath(new URL("link.child.ts", import.meta.url));
    this.#child = Bun.spawn([process.execPath, file, "near0", "far0"], {
      env: childEnv({ PATH: process.env["PATH"] }),
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#answers = this.#child.stdout[Symbol.asyncIterator]();
  }

  static async open(): Promise<Link> {
    const link = new Link();
    await link.#answered();
    mkdirSync("/run/netns", { recursive: true });
    system("mount", "-t", "tmpfs", "tmpfs", "/run/netns");
    system("ip", "netns", "add", "near");
    system("ip", "link", "set", "near0", "netns", "near");
    bringUp("far0", `${farAddress}/24`, []);
    bringUp("near0", `${nearAddress}/24`, ["-n", "near"]);
    system("ip", "-n", "near", "link", "set", "lo", "up");
    return link;
  }

  /** A command that runs on the laptop's side. */
  near(argv: readonly string[]): string[] {
    return ["nsenter", "--net=/run/netns/near", ...argv];
  }

  /** From now on, and with the same decisions for the same seed. */
  async setWeather(weather: LinkWeather, seed = 1): Promise<void> {
    await this.#order({ kind: "weather", seed, ...weather });
  }

  /** Nothing gets through for so long. */
  async darken(forMs: number): Promise<void> {
    await this.#order({ kind: "dark", forMs });
  }

  /**
   * An address on this side's loopback is reached from the laptop over the line. By a route, not by translation:
   * datagrams that the kernel cuts up after their addresses were changed arrive with wrong checksums.
   */
  leadTo(loopback: string): void {
    const route = [`${loopback}/32`, "dev", "near0", "src", nearAddress, "table", "local"];
    system("ip", "-n", "near", "route", "add", ...route);
    system("sysctl", "-qw", "net.ipv4.conf.far0.route_localnet=1");
    system(...this.near(["sysctl", "-qw", "net.ipv4.conf.near0.route_localnet=1"]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.end();
    await this.#child.exited;
  }

  async #order(order: LinkOrder): Promise<void> {
    await this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    await this.#child.stdin.flush();
    await this.#answered();
  }

  async #answered(): Promise<void> {
    if ((await this.#answers.next()).done === true) throw new Error("The link is gone");
  }
}

/** With a queue that a process which waits for its processor does not fill. */
function bringUp(name: string, address: string, where: readonly string[]): void {
  system("ip", ...where, "addr", "add", address, "dev", name);
  system("ip", ...where, "link", "set", name, "up", "mtu", "1500", "txqueuelen", "10000");
}

import { existsSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { join, resolve } from "node:path";
import { signalProcess } from "../../src/system/process.ts";
import { type LocalFly, startLocalFly, type Tenant } from "../../test/support/local-fly.ts";
import { makeProxyKeys } from "../../test/support/local-proxy.ts";
import { type LocalVault, makeLocalVault } from "../../test/support/local-vault.ts";
import type { RunOptions, RunResult } from "../../test/support/program.ts";
import { guestCommand } from "./guest-command.ts";
import { qmp } from "./qmp.ts";

/** A tenant whose one machine is a virtual one, and a laptop that may use it. */
export class Stage {
  readonly fly: LocalFly;
  readonly vault: LocalVault;
  readonly #tenant: Tenant;
  readonly #admissionKey: string;

  private constructor(fly: LocalFly, tenant: Tenant, vault: LocalVault, admissionKey: string) {
    this.fly = fly;
    this.vault = vault;
    this.#tenant = tenant;
    this.#admissionKey = admissionKey;
  }

  /** The machine boots from a copy of this disk, at each start anew. */
  static async open(folder: string, rootDisk: string): Promise<Stage> {
    const entrypoint = join(folder, "machine");
    const vm = resolve(import.meta.dir, "../../.cache/vm");
    const words = [process.execPath, join(import.meta.dir, "machine.ts")];
    const files = [join(vm, "vmlinuz"), join(vm, "initramfs"), rootDisk];
    await Bun.write(entrypoint, `#!/bin/sh\nexec ${[...words, ...files].join(" ")}\n`);
    await chmod(entrypoint, 0o755);
    const fly = await startLocalFly({ entrypoint });
    const keys = await makeProxyKeys(fly);
    // There is no proxy; its key is the one that the machine and its clients have.
    const tenant = await fly.createTenant("acme", [
      "--proxy",
      "127.0.0.1:9",
      "--key-file",
      keys.file,
    ]);
    const stage = new Stage(
      fly,
      tenant,
      await makeLocalVault(fly, tenant),
      keys.keyOf(tenant.machineId),
    );
    await stage.configure({});
    return stage;
  }

  async close(): Promise<void> {
    await this.fly.stop();
  }

  async configure(changes: Readonly<Record<string, string>>): Promise<void> {
    await this.vault.configure({ admission_key: this.#admissionKey, ...changes });
  }

  /** Runs `fly-vault …` to its end. Rejects unless that is a good one. */
  async client(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const result = await this.vault.client(argv, { timeoutMs: 120_000, ...options });
    if (result.exitCode === 0) return result;
    throw new Error(`fly-vault ${argv.join(" ")}: ${result.exitCode}\n${result.stderr}`);
  }

  /** A line of shell in the machine, as its users run one. Resolves with what it printed. */
  async shell(line: string): Promise<string> {
    const { text } = await this.client(["exec", "dev", "--", "/bin/sh", "-c", line]);
    return text;
  }

  /** Waits until clients are let in, and starts the machine where fly-local no longer does. */
  async untilUp(limitMs = 240_000): Promise<Status> {
    const deadline = performance.now() + limitMs;
    let stderr = "";
    while (performance.now() < deadline) {
      const status = await this.vault.client(["status", "dev", "--json"]);
      if (status.exitCode === 0) return (JSON.parse(status.text) as { data: Status }).data;
      stderr = status.stderr + status.text;
      if ((await this.#state()) === "stopped") await this.call("start");
    }
    throw new Error(`The machine did not come up in ${limitMs / 1000} s\n${stderr}`);
  }

  /** qemu is gone from one instruction to the next, and with it all that the guest had not written. */
  async cutPower(): Promise<void> {
    const pid = Number(await Bun.file(join(this.#folder, "qemu.pid")).text());
    signalProcess(pid, 9);
    while (existsSync(`/proc/${pid}`)) await Bun.sleep(20);
  }

  async call(verb: "start" | "stop"): Promise<void> {
    const answer = await fetch(`${this.#machineUrl}/${verb}`, {
      method: "POST",
      headers: this.#headers,
      body: "{}",
    });
    if (!answer.ok) throw new Error(`${verb}: ${answer.status} ${await answer.text()}`);
  }

  async untilState(state: string): Promise<void> {
    const url = `${this.#machineUrl}/wait?state=${state}&timeout=60`;
    const answer = await fetch(url, { headers: this.#headers });
    if (!answer.ok) throw new Error(`wait: ${answer.status} ${await answer.text()}`);
  }

  async pause(): Promise<void> {
    await qmp(join(this.#folder, "qmp"), "stop");
  }

  async resume(): Promise<void> {
    await qmp(join(this.#folder, "qmp"), "cont");
  }

  /** Outside of what users see: as the machine's first process. */
  async fromOutside(line: string): Promise<string> {
    return guestCommand(join(this.#folder, "control"), line);
  }

  /** The machine's disk that stays. */
  async volumeFile(): Promise<string> {
    const [found] = await Array.fromAsync(
      new Bun.Glob("fly/volumes/*/volume.ext4").scan(this.fly.folder),
    );
    return join(this.fly.folder, found ?? "");
  }

  async log(): Promise<string> {
    return Bun.file(join(this.#folder, "log")).text();
  }

  async #state(): Promise<string> {
    const answer = await fetch(this.#machineUrl, { headers: this.#headers });
    return ((await answer.json()) as { state: string }).state;
  }

  get #folder(): string {
    return join(this.fly.folder, "fly/machines", this.#tenant.machineId);
  }

  get #machineUrl(): string {
    return `${this.fly.apiBase}/v1/apps/${this.#tenant.app}/machines/${this.#tenant.machineId}`;
  }

  get #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.fly.apiToken}` };
  }
}

interface Status {
  readonly state: "cold" | "provisioning" | "ready";
  readonly firewall: string;
}

import { RemoteError } from "../../../protocol/errors.ts";
import { childEnv, keptHeap } from "../../../system/child-env.ts";
import type { Log } from "../../../system/log.ts";
import { ownProgram } from "../../../system/self.ts";
import { late, within } from "../../../system/within.ts";
import { sshLimits } from "./limits.ts";
import type { SshPlan } from "./ssh-plan.ts";

/**
 * The process that speaks SSH, started when somebody asks for it and again when it has died. It holds
 * no secret but the host key; what runs for its clients runs in the keeper, as for all others.
 */
export class SshSupervisor {
  readonly #plan: SshPlan;
  readonly #log: Log;
  #child: Bun.Subprocess | undefined;
  #listening: Promise<boolean> | undefined;

  constructor(plan: SshPlan, log: Log) {
    this.#plan = plan;
    this.#log = log;
  }

  /** Resolves once it listens. Rejects with `RemoteError`. */
  async up(): Promise<void> {
    this.#listening ??= this.#start();
    if (await this.#listening) return;
    throw new RemoteError("internal", "The machine's SSH server did not start; its log says why");
  }

  /** It lets go of what it holds of the guest's file system. */
  workloadStops(): void {
    this.#child?.kill("SIGHUP");
  }

  async stop(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  async #start(): Promise<boolean> {
    const child = Bun.spawn([...ownProgram, "init", "ssh", JSON.stringify(this.#plan)], {
      argv0: "fly-vault",
      env: childEnv(
        { PATH: process.env["PATH"] },
        { BUN_JSC_forceRAMSize: String(sshLimits.heapBytes), ...keptHeap },
      ),
      cwd: "/",
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    void this.#noteEnd(child);
    // The only thing it ever says there; or the end of it.
    const said = await within(child.stdout.getReader().read(), sshLimits.startMs);
    if (said !== late && said.value !== undefined) return true;
    child.kill("SIGKILL");
    await child.exited;
    return false;
  }

  async #noteEnd(child: Bun.Subprocess): Promise<void> {
    const code = await child.exited;
    this.#listening = undefined;
    if (code !== 0)
      this.#log("error", "ssh-ended", { exit_code: code, signal: child.signalCode ?? undefined });
  }
}

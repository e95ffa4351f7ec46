import { closeSync, writeSync } from "node:fs";
import * as v from "valibot";
import { childEnv, keptHeap } from "../../system/child-env.ts";
import { DescriptorReader, openPipe } from "../../system/process-pipe.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";
import {
  encodeLinkKeys,
  linkKeyFd,
  type LinkKeys,
  type LinkPlan,
  linkReportFd,
  linkReportSchema,
} from "./link-plan.ts";

/** One run of a link, as its keeper sees it: started, ready, told to listen, listening, ended. */
export class LinkProcess {
  /** Resolves once it is gone. Never rejects. */
  readonly ended: Promise<void>;
  readonly #child: Bun.Subprocess;
  readonly #goFd: number;
  readonly #ready = Promise.withResolvers<boolean>();
  readonly #listening = Promise.withResolvers<boolean>();
  #goes = false;
  #version: string | undefined;
  #complaint: string | undefined;

  /** Throws where the program cannot be started at all. */
  static start(program: readonly string[], plan: LinkPlan, keys: LinkKeys): LinkProcess {
    const toLink = openPipe();
    const fromLink = openPipe();
    const theirs = [toLink.readFd, fromLink.writeFd];
    const ours = [toLink.writeFd, fromLink.readFd];
    try {
      writeSync(toLink.writeFd, encodeLinkKeys(keys));
      const child = spawnLink(program, plan, { keys: toLink.readFd, reports: fromLink.writeFd });
      return new LinkProcess(child, toLink.writeFd, new DescriptorReader(fromLink.readFd));
    } catch (error) {
      for (const fd of ours) closeSync(fd);
      throw error;
    } finally {
      for (const fd of theirs) closeSync(fd);
    }
  }

  private constructor(child: Bun.Subprocess, goFd: number, reports: DescriptorReader) {
    this.#child = child;
    this.#goFd = goFd;
    this.ended = this.#untilEnded(reports);
  }

  /** What it says it is, from `ready` on. */
  get version(): string | undefined {
    return this.#version;
  }

  /** How it ended, for the log. */
  get end(): Readonly<Record<"exit_code" | "signal" | "because", string | number | undefined>> {
    const { exitCode, signalCode } = this.#child;
    return {
      exit_code: exitCode ?? undefined,
      signal: signalCode ?? undefined,
      because: this.#complaint,
    };
  }

  /** Waits until all is loaded. False when it is not in time, or ends; it is killed then. */
  async becomesReady(): Promise<boolean> {
    return this.#inTime(this.#ready.promise, initLimits.linkReadyMs);
  }

  /** Lets it listen, and waits until it does. False when it does not; it is killed then. */
  async comesUp(): Promise<boolean> {
    if (!(await this.becomesReady())) return false;
    this.#go("g");
    return this.#inTime(this.#listening.promise, initLimits.linkListenMs);
  }

  /** Asks by `signal`, then insists. Resolves once it is gone. */
  async stop(signal: "SIGTERM" | "SIGHUP"): Promise<void> {
    this.#child.kill(signal);
    if ((await within(this.ended, initLimits.linkStopMs)) === late) this.kill();
    await this.ended;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #inTime(step: Promise<boolean>, limitMs: number): Promise<boolean> {
    const done = await within(step, limitMs);
    if (done === late) this.#complaint ??= `not up after ${limitMs} ms`;
    if (done !== true) this.kill();
    return done === true;
  }

  #go(word: string): void {
    if (this.#goes) return;
    this.#goes = true;
    try {
      if (word !== "") writeSync(this.#goFd, word);
    } catch {
      // It has ended just now.
    }
    closeSync(this.#goFd);
  }

  async #untilEnded(reports: DescriptorReader): Promise<void> {
    const following = this.#follow(reports).catch(() => undefined);
    await this.#child.exited;
    // Its last words may still be on their way.
    await within(following, initLimits.drainQuietMs);
    reports.close();
    this.#go("");
    this.#ready.resolve(false);
    this.#listening.resolve(false);
  }

  async #follow(reports: DescriptorReader): Promise<void> {
    const decoder = new TextDecoder();
    let text = "";
    try {
      // One that says more than it has to is not listened to any longer.
      for (let taken = 0; taken <= initLimits.linkReportBytesMax;) {
        const bytes = await reports.read();
        if (bytes === null) return;
        taken += bytes.length;
        text += decoder.decode(bytes, { stream: true });
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        for (const line of lines) this.#receive(line);
      }
    } finally {
      reports.close();
    }
  }

  #receive(line: string): void {
    const parsed = v.safeParse(reportLineSchema, line);
    // A newer link may have more to say.
    if (!parsed.success) return;
    const report = parsed.output;
    if (report.kind === "failed") {
      this.#complaint = report.message;
    } else if (report.kind === "ready") {
      this.#version = report.version;
      this.#ready.resolve(true);
    } else {
      this.#listening.resolve(true);
    }
  }
}

const reportLineSchema = v.pipe(v.string(), v.parseJson(), linkReportSchema);

function spawnLink(
  program: readonly string[],
  plan: LinkPlan,
  fds: { readonly keys: number; readonly reports: number },
): Bun.Subprocess {
  const stdio: (number | "ignore" | "inherit")[] = ["ignore", "inherit", "inherit"];
  stdio[linkKeyFd] = fds.keys;
  stdio[linkReportFd] = fds.reports;
  return Bun.spawn([...program, "init", "link", JSON.stringify(plan)], {
    // The role is in the words: a program file may have any name.
    argv0: "fly-vault",
    env: childEnv({ PATH: process.env["PATH"] }, keptHeap),
    cwd: "/",
    stdio: stdio as ["ignore", "inherit", "inherit", number, number],
  });
}

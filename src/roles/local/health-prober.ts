import { createConnection } from "node:net";
import { type CheckPlan, checkPlans, type CheckView } from "./health-checks.ts";
import { localLimits } from "./limits.ts";
import type { MachineRecord } from "./record.ts";

interface Result {
  readonly plan: CheckPlan;
  /** When it is to be done again; 0 at first. */
  dueMs: number;
  busy: boolean;
  view: CheckView;
}

/** Does the health checks of machines that run: each by itself, again and again, as its configuration says. */
export class HealthProber {
  readonly #wallMs: () => number;
  readonly #results = new Map<string, { readonly version: string; readonly checks: Result[] }>();
  #running = 0;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** How the checks of a machine stand; not yet done is as bad as failed. */
  views(record: MachineRecord): readonly CheckView[] {
    return this.#checksOf(record).map(({ view }) => view);
  }

  /** Begins those that are due, of these machines, and forgets all others. */
  poll(started: readonly MachineRecord[]): void {
    const ids = new Set(started.map(({ id }) => id));
    for (const id of this.#results.keys()) if (!ids.has(id)) this.#results.delete(id);
    const nowMs = this.#wallMs();
    for (const record of started)
      for (const check of this.#checksOf(record)) {
        const due = !check.busy && check.dueMs <= nowMs;
        if (due && this.#running < localLimits.checksAtOnceMax) void this.#check(check, record);
      }
  }

  /** A new version begins anew. */
  #checksOf(record: MachineRecord): Result[] {
    const known = this.#results.get(record.id);
    if (known?.version === record.version && record.state === "started") return known.checks;
    const checks = checkPlans(record.config).map((plan) => ({
      plan,
      dueMs: 0,
      busy: false,
      view: this.#view(plan, "critical", "the check has not been done yet"),
    }));
    if (record.state === "started")
      this.#results.set(record.id, { version: record.version, checks });
    return checks;
  }

  async #check(check: Result, record: MachineRecord): Promise<void> {
    check.busy = true;
    this.#running += 1;
    const { plan } = check;
    const failure = await probe(plan, record.address);
    this.#running -= 1;
    check.busy = false;
    check.dueMs = this.#wallMs() + plan.intervalMs;
    check.view =
      failure === undefined
        ? this.#view(plan, "passing", `${plan.type} on port ${plan.port} answers`)
        : this.#view(plan, "critical", failure);
  }

  #view({ name }: CheckPlan, status: CheckView["status"], output: string): CheckView {
    return { name, status, output, updated_at: new Date(this.#wallMs()).toISOString() };
  }
}

/** What went wrong, or undefined. */
async function probe(plan: CheckPlan, address: string): Promise<string | undefined> {
  try {
    if (plan.type === "http") return await probeHttp(plan, address);
    await connect(plan, address);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function probeHttp(plan: CheckPlan, address: string): Promise<string | undefined> {
  const response = await fetch(`http://${address}:${plan.port}${plan.path}`, {
    method: plan.method,
    redirect: "manual",
    signal: AbortSignal.timeout(plan.timeoutMs),
  });
  await response.body?.cancel();
  return response.ok ? undefined : `status ${response.status}`;
}

async function connect(plan: CheckPlan, host: string): Promise<void> {
  const socket = createConnection({ host, port: plan.port });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(plan.timeoutMs, () => reject(new Error("connect: timed out")));
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
  } finally {
    socket.destroy();
  }
}

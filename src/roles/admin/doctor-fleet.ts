import { counted } from "../../cli/counted.ts";
import { version } from "../../cli/program.ts";
import { type FlyMachine, type FlyVolume, isMachineGone } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { callOutcome } from "./doctor-account.ts";
import type { Check, CheckOutcome } from "../../cli/check.ts";
import { machineTroubles, troubleLine } from "./machine-trouble.ts";
import { findOrphans } from "./orphan-finding.ts";
import { managedBy, metadataKeys } from "./plan.ts";
import { imageOf } from "./tenant-summary.ts";

/** Calls that this run made, by how they came out. */
export interface CallCounts {
  all: number;
  heldBack: number;
}

/** What can be listed, and what is wrong with it. */
export class FleetChecks {
  readonly #api: MachinesApi;
  readonly #wallMs: () => number;
  #machines: readonly FlyMachine[] = [];
  #volumes: readonly FlyVolume[] = [];

  constructor(api: MachinesApi, wallMs: () => number) {
    this.#api = api;
    this.#wallMs = wallMs;
  }

  lists(needs: readonly string[]): Check[] {
    return [
      {
        name: "list-machines",
        title: "right to list machines",
        needs,
        run: async () =>
          this.#listed("machine", async () => {
            const all = await this.#api.listMachines({}, ["include_deleted", "include_leases"]);
            this.#machines = all;
            return all.filter((machine) => !isMachineGone(machine)).length;
          }),
      },
      {
        name: "list-volumes",
        title: "right to list volumes",
        needs,
        run: async () =>
          this.#listed("volume", async () => {
            this.#volumes = await this.#api.listVolumes();
            return this.#volumes.length;
          }),
      },
    ];
  }

  troubles(needs: readonly string[]): Check[] {
    return [
      {
        name: "machines",
        title: "machines",
        needs: [...needs, "list-machines"],
        run: async () => this.#troubles(),
      },
      {
        name: "orphans",
        title: "orphans",
        needs: [...needs, "list-machines", "list-volumes"],
        run: async () => this.#orphans(),
      },
    ];
  }

  versions(): Check {
    return {
      name: "versions",
      title: "versions",
      run: async () => {
        const own = `fly-vault-admin ${version} (bun ${Bun.version}, ${process.platform} ${process.arch})`;
        const images = Map.groupBy(this.#managed(), imageOf);
        if (images.size <= 1) {
          const [image] = images.keys();
          return { status: "ok", detail: image === undefined ? own : `${own}; image ${image}` };
        }
        return {
          status: "warning",
          detail: `${own}; machines have ${images.size} different images`,
          more: [...images].map(([image, on]) => `${on.length} of them: ${image}`),
          fix: "give all machines one image, unless they differ on purpose",
        };
      },
    };
  }

  async #listed(what: string, list: () => Promise<number>): Promise<CheckOutcome> {
    try {
      return { status: "ok", detail: counted(await list(), what) };
    } catch (error) {
      return callOutcome(
        error,
        `a token that may: fly tokens create deploy --app ${this.#api.app}`,
      );
    }
  }

  #managed(): FlyMachine[] {
    return this.#machines.filter((machine) => {
      const config = machine.config ?? machine.incomplete_config;
      return !isMachineGone(machine) && config?.metadata?.[metadataKeys.managedBy] === managedBy;
    });
  }

  #troubles(): CheckOutcome {
    const machines = this.#managed();
    const lines = machines.flatMap((machine) =>
      machineTroubles(machine, this.#wallMs()).map((trouble) => troubleLine(machine, trouble)),
    );
    if (lines.length === 0)
      return { status: "ok", detail: `no trouble known of ${counted(machines.length, "machine")}` };
    const shown = lines.slice(0, linesMax);
    const hidden = lines.length - shown.length;
    return {
      status: "warning",
      detail: `${counted(lines.length, "trouble")} of ${counted(machines.length, "machine")}`,
      more: hidden > 0 ? [...shown, `and ${hidden} more`] : shown,
      fix:
        "fly machine status ID and fly logs say more; a lease ends by itself; " +
        "what a rollout that broke off has cordoned is freed by its --resume",
    };
  }

  #orphans(): CheckOutcome {
    const view = { machines: this.#machines, volumes: this.#volumes, nowMs: this.#wallMs() };
    // What is cordoned or leased is told with the machines.
    const lost = findOrphans(view).filter(
      ({ kind, isYoung }) => kind !== "machine-cordoned" && kind !== "machine-leased" && !isYoung,
    );
    if (lost.length === 0) return { status: "ok", detail: "none" };
    return {
      status: "warning",
      detail: `${counted(lost.length, "thing")} that no tenant owns`,
      fix: `fly-vault-admin orphans --app ${this.#api.app}`,
    };
  }
}

/** Fly tells nobody what is left of its limits; only who was held back knows. */
export function limitsCheck(calls: CallCounts, needs: readonly string[]): Check {
  return {
    name: "rate-limits",
    title: "rate limits",
    needs,
    run: async () =>
      calls.heldBack === 0
        ? { status: "ok", detail: `none of ${calls.all} calls was held back` }
        : {
            status: "warning",
            detail: `${calls.heldBack} of ${calls.all} calls were held back by Fly (429)`,
            fix: "something else uses the same limits: look for programs that poll this app",
          },
  };
}

const linesMax = 20;

import { Failure } from "../../cli/failure.ts";
import { type FlyVolume, isVolumeGone } from "../../fly/machine-shape.ts";
import type { PlannedVolume } from "./mount-plan.ts";

/**
 * Which free volumes are left over from an earlier run of this creation: those that it knew of, and the
 * one that it asked for last. No other is ever taken: somebody's data may be on it.
 */
export class VolumeClaims {
  readonly before: ReadonlySet<string>;
  readonly #resumed: boolean;
  readonly #made: ReadonlySet<string>;
  readonly #asked: string | undefined;
  readonly #evenSo: boolean;
  readonly #taken = new Set<string>();

  constructor(options: {
    /** Undefined when no earlier run is known. */
    readonly before: ReadonlySet<string> | undefined;
    /** Of those that came since, the ones that the earlier run made for certain, … */
    readonly made: ReadonlySet<string>;
    /** … and what it asked for last and may have made. */
    readonly asked: string | undefined;
    readonly volumes: readonly FlyVolume[];
    /** Volumes of the same name are no reason to stop. */
    readonly evenSo: boolean;
  }) {
    this.#resumed = options.before !== undefined;
    this.#made = options.made;
    this.#asked = options.asked;
    this.before = options.before ?? new Set(options.volumes.map(({ id }) => id));
    this.#evenSo = options.evenSo;
  }

  /** The one that is left over, or undefined where one must be made. */
  claim(planned: PlannedVolume, volumes: readonly FlyVolume[]): FlyVolume | undefined {
    const free = volumes.filter((volume) => isFree(volume) && volume.name === planned.name);
    const isAsked = planned.isTenantsName && this.#asked === volumeCall(planned);
    const own = free.filter((each) => this.#isUnclaimed(each, planned));
    const volume = own.find(({ id }) => this.#made.has(id)) ?? (isAsked ? own[0] : undefined);
    if (volume !== undefined) {
      this.#taken.add(volume.id);
      return volume;
    }
    if (!this.#resumed && free.length > 0 && !this.#evenSo) throw refusal(planned, free);
    return undefined;
  }

  /** Whether a volume is one that was just asked for. */
  isNew(volume: FlyVolume, planned: Pick<PlannedVolume, "name" | "region">): boolean {
    return isFree(volume) && volume.name === planned.name && this.#isUnclaimed(volume, planned);
  }

  take(volume: FlyVolume): void {
    this.#taken.add(volume.id);
  }

  #isUnclaimed(volume: FlyVolume, planned: Pick<PlannedVolume, "region">): boolean {
    if (this.before.has(volume.id) || this.#taken.has(volume.id)) return false;
    return volume.region === planned.region;
  }
}

/** How a journal calls the making of it. */
export function volumeCall({ name, region }: Pick<PlannedVolume, "name" | "region">): string {
  return `volume ${name} in ${region}`;
}

function isFree(volume: FlyVolume): boolean {
  return !isVolumeGone(volume) && (volume.attached_machine_id ?? "") === "";
}

function refusal({ name }: PlannedVolume, free: readonly FlyVolume[]): Failure {
  const listed = free.slice(0, shownMax).map(({ id, size_gb: size, region, created_at: since }) => {
    return `${id} (${size ?? "?"} GiB in ${region ?? "?"}, made ${since ?? "?"})`;
  });
  const more = free.length > shownMax ? ` and ${free.length - shownMax} more` : "";
  return new Failure("FV-ADM-012", `there is a volume "${name}" already, which no machine uses`, {
    because: `${listed.join(", ")}${more}; a run that was killed may have made it, or it holds data`,
    fix: `remove it (fly volume destroy ID), mount it (volume = "ID" in the template), or leave it (--new-volumes)`,
  });
}

const shownMax = 5;

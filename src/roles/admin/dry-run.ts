import type { PlannedMachine } from "./plan.ts";
import { maskSecrets } from "./secret-mask.ts";

/** The request bodies; volumes that would be made first stand as `<auto:NAME@REGION>`. */
export function renderDryRun(
  machines: readonly PlannedMachine[],
  options: { readonly secrets: readonly string[]; readonly keyedLater: boolean },
): string {
  const bodies = machines.map(({ machine: planned, volumes }) => {
    const machine = options.keyedLater ? { ...planned, skip_launch: true } : planned;
    const mounts = machine.config["mounts"];
    if (!Array.isArray(mounts)) return machine;
    const named: unknown[] = [...mounts];
    for (const { mount, name, region } of volumes) {
      named[mount] = Object.assign({}, named[mount], { volume: `<auto:${name}@${region}>` });
    }
    return { ...machine, config: { ...machine.config, mounts: named } };
  });
  return `${JSON.stringify(maskSecrets(bodies, options.secrets), undefined, 2)}\n`;
}

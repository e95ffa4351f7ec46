import * as v from "valibot";
import { parseGoDuration } from "../../fly/duration.ts";
import { workloadGraceMs } from "../../fly/stop-grace.ts";

/**
 * The configuration with what init should know of it: the name of the vault, for the prompt inside, and
 * how long the machine may take to stop. What the template says itself stays.
 */
export function withVaultEnvironment(
  config: Readonly<Record<string, unknown>>,
  vaultName: string,
): Record<string, unknown> {
  const { env = {} } = config;
  // Fly says what is wrong with it.
  if (typeof env !== "object") return config;
  const grace = graceOf(config);
  const told = {
    VAULT_HOSTNAME: vaultName,
    ...(grace === undefined ? {} : { VAULT_STOP_GRACE: grace }),
  };
  return { ...config, env: { ...told, ...env } };
}

function graceOf(config: Readonly<Record<string, unknown>>): string | undefined {
  if (!v.is(stopping, config)) return undefined;
  const timeoutMs = parseGoDuration(config.stop_config.timeout);
  return timeoutMs === undefined ? undefined : `${workloadGraceMs(timeoutMs)}ms`;
}

const stopping = v.looseObject({
  stop_config: v.looseObject({ timeout: v.union([v.string(), v.number()]) }),
});

/**
 * The environment of a child. Bun hands its own start-up copy to a child that is given none, secrets
 * included, even after `delete process.env.X`; so every spawn names its environment, through here.
 * `BUN_*` is left out: it would make our own binary load foreign code. So is the access token, which
 * nobody but us has a use for.
 */
export function childEnv(
  base: Readonly<Record<string, string | undefined>>,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(base)) {
    const isOurs = name.startsWith("BUN_") || name === "FLY_VAULT_TOKEN";
    if (value !== undefined && !isOurs) env[name] = value;
  }
  return { ...env, ...extra };
}

/**
 * For a child that moves much: what its runtime frees stays with it for a second (mimalloc's purge delay, in
 * milliseconds). By itself it is 10 ms, and then each page that is asked for a moment later is one the kernel
 * clears first. What native code frees is `keepNativeHeap`'s.
 */
export const keptHeap = { MIMALLOC_PURGE_DELAY: "1000" } as const;

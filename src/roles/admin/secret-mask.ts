/** What stands for a value that is not shown. */
const masked = "***";
const secretNames = /token|secret|passw|credential|private|api_?key|auth|cookie|dsn/iu;

/**
 * A copy for showing: variables whose names speak of secrets, contents of files, and `secret` itself
 * wherever it occurs, are replaced.
 */
export function maskSecrets(value: unknown, secret?: string): unknown {
  if (typeof value === "string") {
    return secret !== undefined && secret !== "" ? value.replaceAll(secret, masked) : value;
  }
  if (Array.isArray(value)) return value.map((entry: unknown) => maskSecrets(entry, secret));
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]: [string, unknown]) => {
      if (key === "env") return [key, maskEnv(entry, secret)];
      if (key === "raw_value" && typeof entry === "string") return [key, masked];
      return [key, maskSecrets(entry, secret)];
    }),
  );
}

function maskEnv(env: unknown, secret: string | undefined): unknown {
  if (typeof env !== "object" || env === null) return env;
  return Object.fromEntries(
    Object.entries(env).map(([name, value]: [string, unknown]) => [
      name,
      secretNames.test(name) ? masked : maskSecrets(value, secret),
    ]),
  );
}

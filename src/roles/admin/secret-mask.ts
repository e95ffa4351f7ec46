/** What stands for a value that is not shown. */
const masked = "***";
const secretNames =
  /token|secret|passw|credential|private|api_?key|(?:^|_)keys?(?:_|$)|auth|cookie|dsn/iu;
/** Keys and tokens of ours and of Fly say what they are, wherever they stand. */
const ownKeys =
  /\b(?:(?:fva1_\d_[0-9a-f]{14}|fvp1_\d)_[\w-]+|fvt1_[\w-]+|fm(?:1r|1a|2)_[\w+/=-]+)/gu;
/** The password of a URL. */
const urlPasswords = /(?<=\b[a-z][\w+.-]*:\/\/[^\s/@:]*:)[^\s/@]+(?=@)/giu;

/**
 * A copy for showing: variables whose names speak of secrets, contents of files, keys of ours, and
 * `secret` itself wherever it occurs, are replaced.
 */
export function maskSecrets(value: unknown, secret?: string): unknown {
  if (typeof value === "string") {
    const text = value.replaceAll(ownKeys, masked).replaceAll(urlPasswords, masked);
    return secret !== undefined && secret !== "" ? text.replaceAll(secret, masked) : text;
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

/** Whether a variable of that name probably holds a secret. */
export function isSecretName(name: string): boolean {
  return secretNames.test(name);
}

function maskEnv(env: unknown, secret: string | undefined): unknown {
  if (typeof env !== "object" || env === null) return env;
  return Object.fromEntries(
    Object.entries(env).map(([name, value]: [string, unknown]) => [
      name,
      isSecretName(name) ? masked : maskSecrets(value, secret),
    ]),
  );
}

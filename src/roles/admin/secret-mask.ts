/** What stands for a value that is not shown. */
const masked = "***";
const secretNames =
  /token|secret|passw|passphrase|(?:^|_)pass(?:_|$)|_pwd(?:_|$)|credential|private|api_?key|(?:^|_)keys?(?:_|$)|auth|cookie|dsn/iu;
/** Keys and tokens of ours and of Fly say what they are, wherever they stand. */
const ownKeys =
  /\b(?:(?:fva1_\d_[0-9a-f]{14}|fvp1_\d)_[\w-]+|fvt1_[\w-]+|fm(?:1r|1a|2)_[\w+/=-]+)/gu;
/** The password of a URL. */
const urlPasswords = /(?<=\b[a-z][\w+.-]*:\/\/[^\s/@:]*:)[^\s/@]+(?=@)/giu;

/**
 * A copy for showing: variables whose names speak of secrets, contents of files, headers of health
 * checks, keys of ours, and `secrets` themselves wherever they occur, are replaced.
 */
export function maskSecrets(value: unknown, secrets: readonly string[] = []): unknown {
  if (typeof value === "string") {
    let text = value;
    for (const secret of secrets) if (secret !== "") text = text.replaceAll(secret, masked);
    return text.replaceAll(ownKeys, masked).replaceAll(urlPasswords, masked);
  }
  if (Array.isArray(value)) return value.map((entry: unknown) => maskSecrets(entry, secrets));
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]: [string, unknown]) => {
      if (key === "env") return [key, maskEnv(entry, secrets)];
      if (key === "raw_value" && typeof entry === "string") return [key, masked];
      if (key === "headers") return [key, maskHeaders(entry, secrets)];
      return [key, maskSecrets(entry, secrets)];
    }),
  );
}

/** Whether a variable of that name probably holds a secret. */
export function isSecretName(name: string): boolean {
  return secretNames.test(name);
}

/** `[{name, values}]`: what a check says to log in. */
function maskHeaders(headers: unknown, secrets: readonly string[]): unknown {
  if (!Array.isArray(headers)) return maskSecrets(headers, secrets);
  return headers.map((header: unknown) => {
    if (typeof header !== "object" || header === null || !("values" in header))
      return maskSecrets(header, secrets);
    const { values } = header;
    return { ...header, values: Array.isArray(values) ? values.map(() => masked) : masked };
  });
}

function maskEnv(env: unknown, secrets: readonly string[]): unknown {
  if (typeof env !== "object" || env === null) return env;
  return Object.fromEntries(
    Object.entries(env).map(([name, value]: [string, unknown]) => [
      name,
      isSecretName(name) ? masked : maskSecrets(value, secrets),
    ]),
  );
}

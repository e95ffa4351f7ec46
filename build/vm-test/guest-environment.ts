/** Those of fly-local's that are about processes on one computer: a virtual machine has all this to itself. */
const ofFlyLocal = new Set([
  "VAULT_LISTEN",
  "VAULT_API_SOCKET",
  "VAULT_RUN_DIR",
  "VAULT_DATA_DIR",
  "VAULT_FIREWALL",
]);

/** What the entrypoint finds in its environment, as lines for a shell. */
export function guestEnvironment(env: Readonly<Record<string, string | undefined>>): string {
  return Object.entries({ ...env, FLY_PRIVATE_IP: guestAddress6 })
    .filter(([name, value]) => value !== undefined && !ofFlyLocal.has(name) && !isOurs(name))
    .map(([name, value]) => `export ${name}='${(value ?? "").replaceAll("'", `'\\''`)}'\n`)
    .join("");
}

export const guestAddress4 = "10.0.2.15";
const guestAddress6 = "fdaa:0:1::3";

/** Of the shell that starts us, and what PID 1 sets itself. */
function isOurs(name: string): boolean {
  return ["PATH", "PWD", "OLDPWD", "SHLVL", "_"].includes(name);
}

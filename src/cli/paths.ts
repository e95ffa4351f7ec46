import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";

type Env = Readonly<Record<string, string | undefined>>;

/** `FLY_VAULT_CONFIG`, else `config.toml` in the configuration folder. */
export function configPath(env: Env): string {
  const named = given(env["FLY_VAULT_CONFIG"]);
  return named === undefined
    ? join(base(env, "XDG_CONFIG_HOME", ".config"), "config.toml")
    : resolve(named);
}

/** For what must survive: the machines seen first. */
export function stateDirectory(env: Env): string {
  return base(env, "XDG_STATE_HOME", join(".local", "state"));
}

/** For what may be deleted at any time: signing keys. */
export function cacheDirectory(env: Env): string {
  return base(env, "XDG_CACHE_HOME", ".cache");
}

/** A path a person wrote: `~/` is their home, a relative one starts at `from`. */
export function expandPath(path: string, env: Env, from: string): string {
  if (path === "~" || path.startsWith("~/")) return join(home(env), path.slice(2));
  return isAbsolute(path) ? path : join(from, path);
}

function base(env: Env, variable: string, fallback: string): string {
  const all = given(env["FLY_VAULT_HOME"]);
  if (all !== undefined) return resolve(all);
  const root = given(env[variable]);
  // The XDG rules say to ignore relative paths.
  return join(
    root !== undefined && isAbsolute(root) ? root : join(home(env), fallback),
    "fly-vault",
  );
}

function home(env: Env): string {
  return given(env["HOME"]) ?? homedir();
}

function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

import { resolve } from "node:path";

/** Two configurations may each have a vault of one name. */
export function keychainAccount(vault: string, path: string): string {
  return `${vault} (${resolve(path)})`;
}

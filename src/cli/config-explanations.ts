import type { FailureCode } from "./failure-codes.ts";

/** What codes of the configuration mean (explanations.ts has all others). */
export const configExplanations = {
  "FV-CFG-001": {
    meaning:
      "fly-vault reads where your vaults are, and whom to trust, from a file that is not there.",
    remedy:
      "Write ~/.config/fly-vault/config.toml (`fly-vault help config` shows one), or name another file in FLY_VAULT_CONFIG.",
  },
  "FV-CFG-002": {
    meaning: "The file is there but could not be opened, or is not a plain file.",
    remedy: "Look at its owner and mode with `ls -l`; it must be readable by you.",
  },
  "FV-CFG-003": {
    meaning:
      "The file is not valid TOML (or not UTF-8); the line that was not understood is named.",
    remedy: "Strings need quotes, lists need brackets, every table header stands on its own line.",
  },
  "FV-CFG-004": {
    meaning: "A key has a value of the wrong type or shape; file, line and key are named.",
    remedy: "`fly-vault help config` says what each key takes. Nothing was sent.",
  },
  "FV-CFG-005": {
    meaning: "The configuration has no table [vault.NAME] of the name you gave.",
    remedy: "Check the spelling; the names that exist are listed.",
  },
  "FV-CFG-006": {
    meaning: "The vault's table lacks a key that this command cannot do without.",
    remedy: "Add it; `fly-vault help config` explains every key.",
  },
  "FV-CFG-007": {
    meaning:
      "A file with an access token, an admission key, an invite or the proxies' keys can be read or written by other users of this computer, or the folder of the configuration can be written by them. Whoever has the token can log in to the machine; whoever can change the configuration decides where you connect to.",
    remedy:
      "`chmod 600` the file, `chmod go-w` the folder. If others may have read it, give the machine a new token, or rotate the proxies' key.",
  },
  "FV-CFG-008": {
    meaning: "No access token was found, or the one found cannot be one.",
    remedy:
      "First match wins: --token-file, FLY_VAULT_TOKEN_FILE, FLY_VAULT_TOKEN, token = { file = … } or { command = […] }, access_token.",
  },
  "FV-CFG-009": {
    meaning: "The configuration has a vault of the name that was to be added. Nothing was changed.",
    remedy:
      "Give another name: `fly-vault add NAME`. `fly-vault vault rm NAME` takes the old one out.",
  },
  "FV-CFG-010": {
    meaning:
      "A .fly-vault.toml comes with a project, so it may choose among your vaults and add forwards and variables, and nothing else: no address, token, attestation or command.",
    remedy: "Take the key out, or write it into your own configuration (`fly-vault config path`).",
  },
  "FV-CFG-011": {
    meaning:
      "What was read is no invite (one line that starts with fly-vault://), was cut short or changed on the way, or is of a version that this program does not know.",
    remedy: "Copy the whole line again, or ask for it again. Nothing was changed.",
  },
  "FV-CFG-012": {
    meaning:
      "The file is changed in place, so that comments and order stay. Either another run holds its lock, or the vault is written in a shape (an inline table, say) that cannot be changed that way.",
    remedy: "Wait for the other run, or edit the file; `fly-vault config path` names it.",
  },
  "FV-CFG-013": {
    meaning:
      "ssh-config install and uninstall change two files: ~/.ssh/config, and ssh_config beside your vaults. One of them could not be read or written. Each is replaced whole or not at all.",
    remedy:
      "Look at the cause: a file of root's, a read-only home, a folder in the file's place. fly-vault ssh-config show prints the text, to be put there by hand or by whatever manages your dotfiles.",
  },
  "FV-CFG-014": {
    meaning:
      "Editors come to a vault over ssh, as NAME.vault. That name means nothing to ssh before `fly-vault ssh-config install`, or after its line was taken out of ~/.ssh/config.",
    remedy: "`fly-vault ssh-config install`; it shows first what it would change.",
  },
} as const satisfies Partial<
  Record<FailureCode, { readonly meaning: string; readonly remedy: string }>
>;

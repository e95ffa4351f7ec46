import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { RemoteError } from "../../protocol/errors.ts";
import type { Credentials } from "../../system/process-credentials.ts";
import { initLimits } from "./limits.ts";

/** A user as the image's /etc/passwd and /etc/group have it. */
export interface Account extends Credentials {
  readonly name: string;
  readonly home: string;
  readonly shell: string;
}

/** Reads the files of the root it is called in. Throws `RemoteError` when there is no such user. */
export function findAccount(user: string): Account {
  const passwd = readAccountFile("/etc/passwd");
  const account = parsePasswd(passwd, user);
  if (account === undefined) {
    if (user === "root") return rootAccount;
    throw new RemoteError("command-failed-to-start", `The image has no user "${user}"`);
  }
  const groups = parseGroups(readAccountFile("/etc/group"), account.name, account.gid);
  return { ...account, groups };
}

/** Whose a number is, for people to read. */
export interface OwnerNames {
  readonly users: ReadonlyMap<number, string>;
  readonly groups: ReadonlyMap<number, string>;
}

/** Of the root it is called in. */
export function ownerNames(): OwnerNames {
  return {
    users: namesByNumber(readAccountFile("/etc/passwd")),
    groups: namesByNumber(readAccountFile("/etc/group")),
  };
}

/** The first line with a number counts; names that could disturb a listing are none. */
export function namesByNumber(text: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const [name = "", , id = ""] of accountLines(text))
    if (isId(id) && !names.has(Number(id)) && /^[\w.$-]{1,32}$/.test(name))
      names.set(Number(id), name);
  return names;
}

/** By name or number. Lines that are not seven fields with two numbers are passed over. */
export function parsePasswd(text: string, user: string): Omit<Account, "groups"> | undefined {
  for (const fields of accountLines(text)) {
    const [name = "", , uid = "", gid = "", , home = "", shell = ""] = fields;
    if (fields.length !== 7 || (name !== user && uid !== user)) continue;
    if (!isId(uid) || !isId(gid)) continue;
    return {
      name,
      uid: Number(uid),
      gid: Number(gid),
      home: home === "" ? "/" : home,
      shell: shell === "" ? "/bin/sh" : shell,
    };
  }
  return undefined;
}

export function parseGroups(text: string, user: string, primary: number): number[] {
  const groups = new Set([primary]);
  for (const [, , gid = "", members = ""] of accountLines(text)) {
    if (isId(gid) && members.split(",").includes(user)) groups.add(Number(gid));
  }
  return [...groups];
}

/** The largest number means "leave as it is" to the kernel. */
function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff;
}

function accountLines(text: string): string[][] {
  return text.split("\n", initLimits.accountLinesMax).map((line) => line.trim().split(":"));
}

/** Whoever owns the workload owns these files: neither a pipe nor a huge file may hold us up. */
function readAccountFile(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(fd);
    if (!fstatSync(fd).isFile() || size > initLimits.accountFileBytesMax) return "";
    const bytes = new Uint8Array(size);
    return new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes)));
  } finally {
    closeSync(fd);
  }
}

const rootAccount: Account = {
  name: "root",
  uid: 0,
  gid: 0,
  groups: [0],
  home: "/root",
  shell: "/bin/sh",
};

import { closeSync, constants, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { initLimits } from "./limits.ts";

/** Whether programs of the root this is called in can speak that locale, by the files of glibc. */
export function hasLocale(name: string, folder = "/usr/lib/locale"): boolean {
  if (builtIn.has(name)) return true;
  if (!/^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$/.test(name)) return false;
  const names = [name, normalized(name)];
  if (names.some((one) => existsSync(join(folder, one)))) return true;
  const archived = archivedNames(join(folder, "locale-archive"));
  return names.some((one) => archived.includes(`\0${one}\0`));
}

/** As glibc files it: `de_DE.UTF-8@euro` is `de_DE.utf8@euro`. */
function normalized(name: string): string {
  const [, language, codeset, modifier = ""] = /^([^.@]*)\.([^@]*)(@.*)?$/.exec(name) ?? [];
  if (language === undefined || codeset === undefined) return name;
  const plain = codeset.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  return `${language}.${/^\d+$/.test(plain) ? "iso" : ""}${plain}${modifier}`;
}

/** The table of names of an archive, each between zero bytes; "" where there is none to be read. */
function archivedNames(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return "";
  }
  try {
    if (!fstatSync(fd).isFile()) return "";
    const header = new DataView(new ArrayBuffer(archiveHeaderBytes));
    readSync(fd, new Uint8Array(header.buffer), 0, archiveHeaderBytes, 0);
    if (header.getUint32(0, true) !== archiveMagic) return "";
    const [offset, used] = [header.getUint32(20, true), header.getUint32(24, true)];
    const names = new Uint8Array(Math.min(used, initLimits.localeNamesBytesMax));
    const length = readSync(fd, names, 0, names.length, offset);
    return `\0${Buffer.from(names.subarray(0, length)).toString("latin1")}\0`;
  } catch {
    return "";
  } finally {
    closeSync(fd);
  }
}

const builtIn: ReadonlySet<string> = new Set(["", "C", "POSIX", "C.UTF-8", "C.utf8"]);
/** `struct locarhead`: magic, serial, then offset, used and size of three tables, and more. */
const archiveHeaderBytes = 56;
const archiveMagic = 0xde02_0109;

/** A Debian package as it is installed. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly maintainer: string;
  readonly installedKib: number;
}

/** Those of `/var/lib/dpkg/status` that are installed, by name. */
export function installedPackages(status: string): DebianPackage[] {
  return status
    .split(/\n{2,}/)
    .map(fieldsOf)
    .filter((fields) => fields.get("Status") === "install ok installed")
    .map((fields) => ({
      name: fields.get("Package") ?? "",
      version: fields.get("Version") ?? "",
      architecture: fields.get("Architecture") ?? "",
      maintainer: fields.get("Maintainer") ?? "",
      installedKib: Number(fields.get("Installed-Size") ?? 0),
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Lines that begin with a blank go on with the field before, of which nothing here needs more than one line. */
function fieldsOf(paragraph: string): Map<string, string> {
  const lines = paragraph.split("\n").filter((line) => /^\S+: /.test(line));
  return new Map(
    lines.map((line) => {
      const colon = line.indexOf(": ");
      return [line.slice(0, colon), line.slice(colon + 2)];
    }),
  );
}

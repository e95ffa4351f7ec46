import { expect, test } from "bun:test";
import {
  isVersion,
  parseReleaseSums,
  platformName,
} from "../../../../src/roles/client/update/release-sums.ts";

const digest = "0123456789abcdef".repeat(4);
const line = (name: string) => `${digest}  ${name}\n`;

test("parseReleaseSums finds the version and the archives among other files", () => {
  const text = [
    line("fly-vault-1.2.3-linux-x64.tar.gz"),
    line("install.sh"),
    line("fly-vault-1.2.3.spdx.json"),
    line("fly-vault-1.2.3-darwin-arm64.tar.gz"),
  ].join("");
  expect(parseReleaseSums(text)).toEqual({
    version: "1.2.3",
    archives: [
      { name: "fly-vault-1.2.3-linux-x64.tar.gz", platform: "linux-x64", sha256: digest },
      { name: "fly-vault-1.2.3-darwin-arm64.tar.gz", platform: "darwin-arm64", sha256: digest },
    ],
  });
});

test.each([
  ["nothing", ""],
  ["no archive", line("install.sh")],
  [
    "two versions",
    line("fly-vault-1.2.3-linux-x64.tar.gz") + line("fly-vault-1.2.4-darwin-x64.tar.gz"),
  ],
  ["one twice", line("fly-vault-1.2.3-linux-x64.tar.gz").repeat(2)],
  ["a page", "<!DOCTYPE html>\n"],
  [
    "a line too much",
    `${line("fly-vault-1.2.3-linux-x64.tar.gz")}${line("install.sh").repeat(100)}`,
  ],
  ["a path", line("../fly-vault-1.2.3-linux-x64.tar.gz")],
  ["a short digest", line("fly-vault-1.2.3-linux-x64.tar.gz").slice(1)],
])("parseReleaseSums refuses %s", (_, text) => {
  expect(parseReleaseSums(text)).toBeUndefined();
});

test("versions have three numbers, and perhaps a word behind", () => {
  expect(["0.1.0", "10.20.30", "1.0.0-rc.1"].map(isVersion)).toEqual([true, true, true]);
  expect(["1.0", "v1.0.0", "1.0.0/..", "1.0.0-", ""].map(isVersion)).not.toContain(true);
});

test("platforms are named as the archives are", () => {
  expect(platformName("linux", "x64")).toBe("linux-x64");
  expect(platformName("win32", "x64")).toBe("windows-x64");
});

export interface Bottle {
  /** "darwin-arm64" and the like. */
  readonly platform: string;
  readonly archive: string;
  readonly sha256: string;
}

/** A formula that installs what was released; undefined where nothing is for a system that Homebrew is on. */
export function homebrewFormula(
  version: string,
  releases: string,
  bottles: readonly Bottle[],
): string | undefined {
  const systems = [
    ["on_macos", "darwin"],
    ["on_linux", "linux"],
  ] as const;
  const blocks = systems.flatMap(([block, system]) => {
    const own = bottles.filter(({ platform }) => platform.startsWith(`${system}-`));
    if (own.length === 0) return [];
    const lines = own.map(({ platform, archive, sha256 }) =>
      [
        `    ${platform.endsWith("-arm64") ? "on_arm" : "on_intel"} do`,
        `      url "${releases}/download/v${version}/${archive}"`,
        `      sha256 "${sha256}"`,
        "    end",
      ].join("\n"),
    );
    return [`  ${block} do\n${lines.join("\n")}\n  end\n`];
  });
  return blocks.length === 0 ? undefined : `${head(version)}\n${blocks.join("\n")}\n${tail}`;
}

function head(version: string): string {
  return `class FlyVault < Formula
  desc "Whole Linux machine on Fly.io, worked on as if it sat under the desk"
  homepage "https://github.com/fly-vault/fly-vault"
  version "${version}"
  license "MIT"
`;
}

const tail = `  def install
    bin.install "fly-vault"
    roles = %w[fly-vault-admin vault-proxy]
    roles << "fly-local" if OS.linux?
    roles.each { |role| bin.install_symlink bin/"fly-vault" => role }
    man1.install Dir["man/man1/*"]
    man7.install Dir["man/man7/*"]
  end

  test do
    assert_equal "fly-vault #{version}", shell_output("#{bin}/fly-vault --version").strip
  end
end
`;

import type { BunPlugin } from "bun";

/** Nobody can make a released binary die by its environment: the code that would is not in it. */
export const noFailpoints: BunPlugin = {
  name: "no-failpoints",
  setup(build) {
    build.onLoad({ filter: /[/\\]init[/\\]provision[/\\]failpoint\.ts$/ }, () => ({
      loader: "ts",
      contents: "export function failpoint(): void {}",
    }));
  },
};

/** Swaps a folder, and a file in another, with links that lead out of a root, as fast as it can, until it is killed. */
const [root = "", outside = ""] = Deno.args;

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Puts a link in the place of something real, and back again. */
class Swap {
  constructor(private readonly real: string, private readonly target: string) {
    Deno.symlinkSync(target, `${real}.link`);
  }

  once(): void {
    const { real } = this;
    try {
      Deno.renameSync(real, `${real}.away`);
      Deno.renameSync(`${real}.link`, real);
      Deno.renameSync(real, `${real}.link`);
      Deno.renameSync(`${real}.away`, real);
    } catch {
      // Somebody made the folder anew while it was away.
      this.#restore();
    }
  }

  #restore(): void {
    const { real, target } = this;
    if (exists(`${real}.away`)) {
      if (exists(real)) Deno.removeSync(real, { recursive: true });
      Deno.renameSync(`${real}.away`, real);
    }
    if (!exists(`${real}.link`)) Deno.symlinkSync(target, `${real}.link`);
  }
}

const swaps = [new Swap(`${root}/folder`, outside), new Swap(`${root}/plain/file`, `${outside}/file`)];
console.log("swapping");
for (;;) {
  for (const swap of swaps) {
    try {
      swap.once();
    } catch {
      // The next round mends it.
    }
  }
}

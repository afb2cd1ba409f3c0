// The disk image, as the real build makes it: GRUB by the module lists of the defconfig, the root as
// squashfs, post-image.sh with genimage.cfg.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TREE } from '../../buildroot/tools/tree.ts';
import { CACHE, type Packages } from './parts.ts';
import type { Root } from './root.ts';
import type { Tools } from './tools.ts';

/** As make-bundle.sh wants them. */
const SIGNING = ['signer.cert.pem', 'signer.key.pem', 'ca.cert.pem'];

export interface Disk {
  readonly image: string;
  /** A signed update to the same root file system, as version 9.9.9. */
  readonly bundle: string;
  readonly rootBytes: number;
  readonly bundleBytes: number;
}

export function makeDisk(packages: Packages, tools: Tools, root: Root, keys: string): Disk {
  const images = join(CACHE, 'images');
  const squashfs = join(images, 'rootfs.squashfs');
  tools.run('mksquashfs', [
    root.folder,
    squashfs,
    '-noappend',
    '-comp',
    'gzip',
    '-all-root',
    '-no-progress',
    '-processors',
    '2',
  ]);
  makeGrub(packages, tools, images);
  const build = join(CACHE, 'build');
  mkdirSync(build, { recursive: true });
  tools.run('sh', [join(TREE, 'board/twinstep/post-image.sh')], {
    env: { BINARIES_DIR: images, BUILD_DIR: build },
  });
  rmSync(build, { recursive: true, force: true });
  const bundle = join(images, 'update.raucb');
  const signing = SIGNING.map((name) => join(keys, name));
  tools.run(join(TREE, 'tools/make-bundle.sh'), [squashfs, '9.9.9', ...signing, bundle]);
  return {
    image: join(images, 'twinstep.img'),
    bundle,
    rootBytes: statSync(squashfs).size,
    bundleBytes: statSync(bundle).size,
  };
}

/** A signed update whose `twinstep` does nothing but end: made when it is first wanted. */
export function sickBundle(tools: Tools, keys: string): string {
  const images = join(CACHE, 'images');
  const bundle = join(images, 'sick.raucb');
  if (existsSync(bundle)) return bundle;
  const squashfs = join(images, 'sick.squashfs');
  const sick = ['-p', 'usr/bin/twinstep f 755 0 0 echo exit 1', '-e', 'usr/bin/twinstep'];
  const options = ['-noappend', '-comp', 'gzip', '-all-root', '-no-progress', '-processors', '2'];
  tools.run('mksquashfs', [join(CACHE, 'root'), squashfs, ...options, ...sick]);
  const signing = SIGNING.map((name) => join(keys, name));
  tools.run(join(TREE, 'tools/make-bundle.sh'), [squashfs, '9.9.10', ...signing, bundle]);
  rmSync(squashfs);
  return bundle;
}

function makeGrub(packages: Packages, tools: Tools, images: string): void {
  const defconfig = readFileSync(join(TREE, 'configs/twinstep_x86_64_defconfig'), 'utf8');
  const option = (name: string): string => {
    const value = new RegExp(`^BR2_TARGET_GRUB2_${name}="(.*)"$`, 'm').exec(defconfig)?.[1];
    if (value === undefined) throw new Error(`the defconfig has no BR2_TARGET_GRUB2_${name}`);
    return value.replace('$(BR2_EXTERNAL_TWINSTEP_PATH)', TREE);
  };
  const modules = (name: string): string[] => option(`BUILTIN_MODULES_${name}`).split(' ');
  const efi = join(images, 'efi-part/EFI/BOOT');
  mkdirSync(efi, { recursive: true });
  const pc = join(packages.unpacked('grub-pc-bin'), 'usr/lib/grub/i386-pc');
  tools.run('grub-mkimage', [
    '-d',
    pc,
    '-O',
    'i386-pc',
    '-o',
    join(images, 'grub.img'),
    '-p',
    `(${option('BOOT_PARTITION')})/boot/grub`,
    '-c',
    option('BUILTIN_CONFIG_PC'),
    ...modules('PC'),
  ]);
  const uefi = join(packages.unpacked('grub-efi-amd64-bin'), 'usr/lib/grub/x86_64-efi');
  tools.run('grub-mkimage', [
    '-d',
    uefi,
    '-O',
    'x86_64-efi',
    '-o',
    join(efi, 'bootx64.efi'),
    '-p',
    '/EFI/BOOT',
    ...modules('EFI'),
  ]);
}

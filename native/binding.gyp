# The native addon. Release is what ships; Debug is the sanitizer build of the same sources.
# Everything below native/ but tests is compiled; only native/napi/ sees Node's headers.
{
  'targets': [
    {
      'target_name': 'twinstep',
      'sources': ["<!@(find . -name '*.cc' -not -path '*/test/*' -not -path './build/*' | sort)"],
      'include_dirs': ['.'],
      'defines': [
        'NAPI_VERSION=8', 'NODE_ADDON_API_CPP_EXCEPTIONS',
        # A worker ended in the middle of a call can throw nothing any more; that must not abort us.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      'cflags!': ['-O3', '-fno-omit-frame-pointer'],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-O3'],
      'cflags_cc': [
        '-std=c++20', '-Wall', '-Wextra', '-Werror', '-Wshadow', '-Wno-unused-parameter',
        '-fexceptions', '-fvisibility=hidden', '-msse4.2', '-mno-avx',
        # A system header as far as warnings go: ours are errors, theirs are not ours to mend.
        "-isystem<!(node -p \"require('path').resolve(require('node-addon-api').include_dir)\")",
      ],
      'configurations': {
        'Release': { 'cflags_cc': ['-O2', '-g1'] },
        'Debug': {
          'cflags_cc': [
            '-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=address,undefined',
            '-fno-sanitize-recover=undefined',
          ],
          'ldflags': ['-fsanitize=address,undefined'],
        },
      },
    },
  ],
}

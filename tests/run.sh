#!/usr/bin/env bash
# Runs the whole test suite.
#
#   ./tests/run.sh                 every test, on the GPU (hardware or software) that wgpu picks first;
#                                  the tests of kernels once more with wgpu's run-time checks on
#   ./tests/run.sh --all-drivers   the GPU tests on lavapipe and on SwiftShader, with the checks off
#                                  and on, and on lavapipe under Khronos's validation layers
#
# The tests need a Vulkan, Metal or DX12 adapter. On a Linux machine without a Vulkan driver the
# script installs Debian's software driver if it may, and otherwise says how.
set -euo pipefail
cd "$(dirname "$0")/.."

# Mesa complains on stderr when this is unset.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
  XDG_RUNTIME_DIR=$(mktemp -d)
  export XDG_RUNTIME_DIR
fi

# Binaries of tests, and after `--` what the names of the wanted ones hold.
kernel_tests=(--test kernels --test gradients --test layers --test recurrent --test session --test optimizers
  --test training --test metrics --
  batch:: clip:: conv:: kernels:: lrn:: noise:: norm:: pool:: running_sums:: gradient_flow:: verify:: nn:: recurrent::
  errors:: replay:: optimizers:: updates_together:: training:: metrics:: metrics_multilabel::
  --skip cnn:: --skip nn_errors:: --skip recurrent_kernels::)
# Whole networks, large values, large tiles and every case in half precision: minutes on the slower of the drivers, or
# with the checks on.
network_tests=(--test layers --test kernels --test recurrent -- cnn:: half:: limits:: recurrent_kernels:: tiles::)
# A binary and what of it runs under the validation layers.
validated=("kernels kernels:: limits:: batch::" "gradients verify::" "layers cnn::"
  "recurrent recurrent::" "session replay:: packing::" "training training:: trainer:: trainer_scalars::"
  "metrics metrics_multilabel::")

# install PACKAGE... : with apt-get if this is root on a Debian, otherwise fails with the line to type.
install() {
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
  else
    echo "these tests need $*; on Debian or Ubuntu:" >&2
    echo "  sudo apt-get install -y $*" >&2
    exit 1
  fi
}

has_vulkan_driver() {
  [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || compgen -G "/usr/share/vulkan/icd.d/*.json" >/dev/null ||
    compgen -G "/etc/vulkan/icd.d/*.json" >/dev/null || compgen -G "/usr/local/share/vulkan/icd.d/*.json" >/dev/null
}

ensure_adapter() {
  if [ "$(uname -s)" = Linux ] && ! has_vulkan_driver; then
    echo "no Vulkan driver found: installing the software driver lavapipe"
    install mesa-vulkan-drivers
  fi
}

# The kernels are compiled for GPUs that are not there too, by Mesa's RADV.
ensure_compiler() {
  if [ "$(uname -sm)" = "Linux x86_64" ] && ! compgen -G "/usr/share/vulkan/icd.d/radeon_icd*.json" >/dev/null &&
    ! compgen -G "/etc/vulkan/icd.d/radeon_icd*.json" >/dev/null &&
    ! compgen -G "/usr/local/share/vulkan/icd.d/radeon_icd*.json" >/dev/null; then
    echo "no RADV found, which tests/isa compiles kernels with: installing it"
    install mesa-vulkan-drivers
  fi
}

# on NAME TESTS [VARIABLE=VALUE...] : an array of GPU tests on one driver, with wgpu's checks off and on.
on() {
  local name=$1
  local -n tests=$2
  shift 2
  for checked in 0 1; do
    echo "== $name, run-time checks $([ $checked = 1 ] && echo on || echo off)"
    env "$@" RETAPE_CHECKED=$checked RETAPE_TEST_ALL=1 cargo test --release --all-features -q "${tests[@]}"
  done
}

# Every message of the layers is a failure, synchronisation hazards included.
under_validation() {
  local folder
  folder=$(mktemp -d)
  cat >"$folder/vk_layer_settings.txt" <<SETTINGS
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.log_filename = $folder/messages
khronos_validation.report_flags = error,warn
khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
SETTINGS
  # Test binaries one after the other: they share the file of messages.
  local tests filters
  for tests in "${validated[@]}"; do
    read -ra filters <<<"$tests"
    rm -f "$folder/messages"
    echo "== lavapipe under validation layers: $tests"
    env RETAPE_TEST_DEVICE=llvmpipe WGPU_VALIDATION=1 WGPU_DEBUG=1 VK_LAYER_SETTINGS_PATH="$folder" \
      VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation cargo test --release --all-features -q --test "${filters[0]}" -- \
      "${filters[@]:1}"
    if [ ! -e "$folder/messages" ]; then
      echo "the validation layer was not loaded" >&2
      exit 1
    fi
    if [ -s "$folder/messages" ]; then
      cat "$folder/messages" >&2
      exit 1
    fi
  done
}

swiftshader() {
  dpkg -L chromium chromium-common 2>/dev/null | grep vk_swiftshader_icd.json | head -n 1
}

ensure_adapter
ensure_compiler
case "${1:-}" in
  "")
    cargo test --release --all-features
    echo "== the tests of kernels with wgpu's run-time checks on"
    RETAPE_CHECKED=1 cargo test --release --all-features -q "${kernel_tests[@]}"
    ;;
  --all-drivers)
    compgen -G "/usr/share/vulkan/icd.d/lvp_icd*.json" >/dev/null || install mesa-vulkan-drivers
    [ -n "$(swiftshader)" ] || install chromium
    [ -e /usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json ] || install vulkan-validationlayers
    on lavapipe kernel_tests RETAPE_TEST_DEVICE=llvmpipe
    on lavapipe network_tests RETAPE_TEST_DEVICE=llvmpipe
    on SwiftShader kernel_tests RETAPE_TEST_DEVICE=swiftshader "VK_DRIVER_FILES=$(swiftshader)"
    under_validation
    ;;
  *)
    echo "usage: $0 [--all-drivers]" >&2
    exit 2
    ;;
esac
echo "all tests passed"

################################################################################
#
# twinstep
#
################################################################################

TWINSTEP_VERSION = 0.1.0
# Archive and hash are made together by "npm run image:source"
TWINSTEP_SITE = $(BR2_EXTERNAL_TWINSTEP_PATH)/source/twinstep
TWINSTEP_SITE_METHOD = file
TWINSTEP_LICENSE = Apache-2.0, MIT (npm packages)
TWINSTEP_LICENSE_FILES = LICENSE
TWINSTEP_DEPENDENCIES = host-nodejs nodejs

# The copy of node-gyp that comes with the host's npm; headers are the target's
TWINSTEP_NODE_GYP = \
	$(NODEJS_BIN_ENV) PATH=$(BR_PATH) \
	$(HOST_DIR)/bin/node \
	$(HOST_DIR)/lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js \
	rebuild --release --nodedir=$(STAGING_DIR)/usr

# Our own addon and those of the packages we use, all from source
TWINSTEP_ADDONS = \
	native \
	node_modules/@serialport/bindings-cpp \
	node_modules/raw-socket

define TWINSTEP_BUILD_CMDS
	$(foreach addon,$(TWINSTEP_ADDONS),\
		cd $(@D)/$(addon) && $(TWINSTEP_NODE_GYP)
	)
endef

# dist/ and the built addons; sources, headers and objects stay behind
define TWINSTEP_INSTALL_TARGET_CMDS
	$(HOST_DIR)/bin/node $(TWINSTEP_PKGDIR)/install.mjs $(@D) $(TARGET_DIR)/usr/lib/twinstep
	$(INSTALL) -D -m 0755 $(TWINSTEP_PKGDIR)/twinstep.sh $(TARGET_DIR)/usr/bin/twinstep
endef

$(eval $(generic-package))

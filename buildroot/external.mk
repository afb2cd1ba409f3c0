include $(sort $(wildcard $(BR2_EXTERNAL_TWINSTEP_PATH)/package/*/*.mk))

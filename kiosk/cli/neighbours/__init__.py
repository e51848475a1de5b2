"""Commands that connect a kiosk to what stands around it: MQTT, an access control panel, a MOSIP."""

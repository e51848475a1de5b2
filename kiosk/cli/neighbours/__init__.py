"""Commands of the kiosk's neighbours: `kiosk abis` stands behind a MOSIP."""

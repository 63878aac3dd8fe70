"""The routes, one module for each family of them."""

import lanthorn_rest_api.levels  # noqa: F401 - teaches the router the convertor `level`

#!/bin/sh
# A worker reads the lines that begin with `sleap-nn train` and runs each of them itself; it never runs this script.
sleap-nn train --config-dir . --config-name minimal_instance.centroid.yaml

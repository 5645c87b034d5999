"""The doip link: UDS (ISO 14229-1) to the ECUs behind one DoIP entity (ISO 13400-2), over one TCP connection."""

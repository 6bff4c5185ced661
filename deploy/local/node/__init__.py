"""Real nodes beside the control plane: kubelet, containerd and runc, in namespaces that end with one process."""

"""The servers that crmgql is measured against, each as good as its kind can be made."""
